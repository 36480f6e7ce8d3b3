// What the two halves of the load generator share: the instruments, the state of the run, and bytes of WebSocket.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  INSTRUMENTS_MOST = 1000,
  // Levels of a book, half of them bids; their prices never change, only what rests at them.
  LEVELS = 1000,
  // Trades of one instrument whose times are kept; a trade that comes later than that counts as later than all.
  TRADES_KEPT = 1 << 15,
};

// Prices are 1000.00, 1000.10, ... and quantities thousandths.
enum { PRICE_LEAST = 100000, PRICE_STEP = 10 };

typedef struct {
  char raw_symbol[16], stream_name[16];
  // The venue's side. Quantities are written by the venue's thread alone and read by the other after the end.
  uint64_t update_id, trade_id;
  uint32_t quantity[LEVELS];
  int connection;
  bool was_fetched;
  // When each of the newest trades was due, and whether in a burst: nanoseconds times two, plus one in a burst.
  _Atomic uint64_t *due;
  // Trades sent before the load began; those behind it are measured.
  uint64_t trades_before;
  // The subscriber's side.
  uint64_t first_trade_seen, last_trade_seen;
  bool is_book_followed;
  uint64_t book_sequence;
  int64_t book[LEVELS];
} instrument;

typedef enum { WAITING, WARMING, LOADING, SENT, OVER } phase;

typedef struct {
  int instruments;
  double rate, burst_factor, burst_seconds, burst_every_seconds, seconds, warm_rate;
  const char *books;
} settings;

extern settings S;
extern instrument *I;
extern _Atomic int run_phase;
// Set by either half when it cannot go on; the run then fails with this text.
extern const char *_Atomic failure;

uint64_t now_ns(void);
_Noreturn void die(const char *format, ...);
void fail(const char *reason);

// What the venue's half tells at the end.
typedef struct {
  uint64_t messages, books, quotes, trades, bytes, burst_messages, undeliverable, fetches;
  double late_ms_most;
  size_t backlog_most;
} venue_figures;

int venue_listen(uint16_t port, uint16_t *chosen);
void *venue_run(void *listener);
extern venue_figures venue;

// What the subscriber's half tells at the end. Lags are in milliseconds, from when the venue was due to send: until the
// subscriber read a trade, and until the hub did.
typedef struct {
  double *lag_ms, *read_lag_ms;
  bool *is_burst;
  size_t measured, capacity;
  uint64_t trades, missing, repeated, unmeasured, book_pushes, book_gaps, frames;
  bool is_subscribed;
} subscriber_figures;

void subscriber_connect(const char *address);
void *subscriber_run(void *unused);
extern subscriber_figures subscriber;
