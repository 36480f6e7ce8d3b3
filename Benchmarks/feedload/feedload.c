// A venue under load and a subscriber of the hub that follows it, in one process, so that both read the same clock.
// One JSON line says what was sent, what arrived and how late; `feedload --help` is the manual.
#define _GNU_SOURCE
#include "feedload.h"
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *HELP =
    "feedload [options]    plays Binance USD-M to a hub, and subscribes to that hub\n"
    "  --instruments N      instruments L000USDT, L001USDT, ... (default 100, at most 1000)\n"
    "  --rate R             messages a second over all of them (default 50000): 7 % books of 5 to 70 levels, 23 % trades, 70 % quotes\n"
    "  --burst F            times the rate in a burst (default 10); --burst-ms T its length (default 100)\n"
    "  --every S            a burst in every S seconds (default 4)\n"
    "  --seconds S          how long the load lasts (default 20)\n"
    "  --warm-rate R        messages a second until the hub has fetched all books (default 2000)\n"
    "  --books PATTERN      symbols whose books are followed and compared at the end (default L00*; empty: none)\n"
    "  --port P             the venue's port (default: the kernel's choice)\n"
    "  --list               prints the instruments as the venue lists them, and ends\n"
    "Prints the port, reads one line HOST:PORT of the hub, prints 'loading' when the load begins and one line of JSON at the\n"
    "end, and keeps its connections until its input ends. Lag counts from the moment at which the pace wanted a trade to be sent, whether the venue was in time or not.\n";

enum { WARM_SECONDS_MOST = 180, SETTLE_SECONDS_MOST = 10 };

settings S = {100, 50000, 10, 0.1, 4, 20, 2000, "L00*"};
instrument *I;
_Atomic int run_phase = WAITING;
const char *_Atomic failure;

// The clock by which the hub says when it read something.
uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("feedload: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  _exit(1);
}

void fail(const char *reason) {
  const char *none = NULL;
  atomic_compare_exchange_strong(&failure, &none, reason);
}

static void print_list(void) {
  printf("{\"symbols\":[");
  for (int i = 0; i < S.instruments; i++)
    printf("%s{\"symbol\":\"%s\",\"contractType\":\"PERPETUAL\",\"status\":\"TRADING\",\"baseAsset\":\"L%03d\",\"quoteAsset\":\"USDT\","
           "\"marginAsset\":\"USDT\",\"deliveryDate\":4133404800000,\"filters\":[{\"filterType\":\"PRICE_FILTER\",\"tickSize\":\"0.01\"},"
           "{\"filterType\":\"LOT_SIZE\",\"stepSize\":\"0.001\"}]}",
           i ? "," : "", I[i].raw_symbol, i);
  printf("]}\n");
}

static bool is_everything_received(void) {
  for (int i = 0; i < S.instruments; i++) {
    if (I[i].last_trade_seen != I[i].trade_id) return false;
    if (!I[i].is_book_followed) continue;
    for (int level = 0; level < LEVELS; level++)
      if (I[i].book[level] != (int64_t)I[i].quantity[level]) return false;
  }
  return true;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

typedef enum { OUTSIDE, IN_BURSTS, ALL } part;

static void print_lags(const char *name, part wanted, const double *lags) {
  double *chosen = malloc((subscriber.measured + 1) * sizeof *chosen);
  size_t count = 0;
  if (!chosen) die("no memory");
  for (size_t i = 0; i < subscriber.measured; i++)
    if (wanted == ALL || subscriber.is_burst[i] == (wanted == IN_BURSTS)) chosen[count++] = lags[i];
  qsort(chosen, count, sizeof *chosen, by_size);
#define AT(part) (count ? chosen[(size_t)((double)(count - 1) * part)] : -1)
  printf("\"%s\":{\"trades\":%zu,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}", name, count, AT(.5), AT(.99), AT(.999), AT(1));
#undef AT
  free(chosen);
}

static void report(double seconds) {
  uint64_t sent = 0, missing = subscriber.missing;
  int followed = 0, wrong = 0;
  for (int i = 0; i < S.instruments; i++) {
    sent += I[i].trade_id - I[i].trades_before;
    missing += I[i].trade_id - I[i].last_trade_seen;
    if (I[i].first_trade_seen > I[i].trades_before + 1) missing += I[i].first_trade_seen - I[i].trades_before - 1;
    bool is_wrong = false;
    for (int level = 0; level < LEVELS; level++) is_wrong |= I[i].book[level] != (int64_t)I[i].quantity[level];
    followed += I[i].is_book_followed;
    wrong += I[i].is_book_followed && is_wrong;
  }
  printf("{\"failure\":%s%s%s,\"seconds\":%.2f,\"messages\":%" PRIu64 ",\"messages_s\":%.0f,\"burst_messages\":%" PRIu64 ",\"MB_s\":%.1f,",
         failure ? "\"" : "", failure ? failure : "null", failure ? "\"" : "", seconds, venue.messages, (double)venue.messages / seconds,
         venue.burst_messages, (double)venue.bytes / seconds / 1e6);
  printf("\"books\":%" PRIu64 ",\"trades\":%" PRIu64 ",\"quotes\":%" PRIu64 ",\"fetches\":%" PRIu64 ",\"undeliverable\":%" PRIu64
         ",\"venue_late_ms_most\":%.2f,\"venue_backlog_kb_most\":%zu,",
         venue.books, sent, venue.quotes, venue.fetches, venue.undeliverable, venue.late_ms_most, venue.backlog_most / 1024);
  printf("\"missing\":%" PRIu64 ",\"repeated\":%" PRIu64 ",\"unmeasured\":%" PRIu64 ",\"books_followed\":%d,\"books_wrong\":%d,"
         "\"book_pushes\":%" PRIu64 ",\"book_gaps\":%" PRIu64 ",\"frames\":%" PRIu64 ",\"lag_ms\":{",
         missing, subscriber.repeated, subscriber.unmeasured, followed, wrong, subscriber.book_pushes, subscriber.book_gaps, subscriber.frames);
  print_lags("all", ALL, subscriber.lag_ms), putchar(',');
  print_lags("all, until the hub read them", ALL, subscriber.read_lag_ms), putchar(',');
  print_lags("in bursts", IN_BURSTS, subscriber.lag_ms), putchar(',');
  print_lags("outside of bursts", OUTSIDE, subscriber.lag_ms);
  printf("}}\n");
}

static void await_phase(int wanted, double seconds, const char *otherwise) {
  uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
  while (atomic_load(&run_phase) < wanted && !failure) {
    if (now_ns() > end) fail(otherwise);
    usleep(10000);
  }
}

static void read_options(int count, char **given, uint16_t *port, bool *is_list) {
  for (int i = 1; i < count; i++) {
    const char *name = given[i];
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) fputs(HELP, stdout), exit(0);
    if (!strcmp(name, "--list")) {
      *is_list = true;
      continue;
    }
    if (++i == count) die("%s needs a value, or is unknown (try --help)", name);
    double value = atof(given[i]);
    if (!strcmp(name, "--instruments")) S.instruments = (int)value;
    else if (!strcmp(name, "--rate")) S.rate = value;
    else if (!strcmp(name, "--burst")) S.burst_factor = value;
    else if (!strcmp(name, "--burst-ms")) S.burst_seconds = value / 1e3;
    else if (!strcmp(name, "--every")) S.burst_every_seconds = value;
    else if (!strcmp(name, "--seconds")) S.seconds = value;
    else if (!strcmp(name, "--warm-rate")) S.warm_rate = value;
    else if (!strcmp(name, "--books")) S.books = given[i];
    else if (!strcmp(name, "--port")) *port = (uint16_t)value;
    else die("unknown option %s (try --help)", name);
  }
  if (S.instruments < 1 || S.instruments > INSTRUMENTS_MOST) die("--instruments is from 1 to %d", INSTRUMENTS_MOST);
  if (S.rate < 1 || S.rate > 1e6 || S.burst_factor < 1 || S.warm_rate < 1) die("a rate is from 1 to 1000000, a factor from 1");
  if (S.seconds <= 0 || S.burst_every_seconds <= 0 || S.burst_seconds * 2 > S.burst_every_seconds) die("bursts must be short, times above 0");
}

int main(int count, char **given) {
  uint16_t port = 0;
  bool is_list = false;
  signal(SIGPIPE, SIG_IGN);
  read_options(count, given, &port, &is_list);
  if (!(I = calloc((size_t)S.instruments, sizeof *I))) die("no memory");
  for (int i = 0; i < S.instruments; i++) {
    snprintf(I[i].raw_symbol, sizeof I[i].raw_symbol, "L%03dUSDT", i);
    snprintf(I[i].stream_name, sizeof I[i].stream_name, "l%03dusdt", i);
    I[i].connection = -1;
    I[i].update_id = 1000000;
    if (!(I[i].due = calloc(TRADES_KEPT, sizeof *I[i].due))) die("no memory");
  }
  if (is_list) return print_list(), 0;

  int listener = venue_listen(port, &port);
  printf("%u\n", port), fflush(stdout);
  pthread_t sender, reader;
  pthread_create(&sender, NULL, venue_run, &listener);
  char hub[128];
  if (!fgets(hub, sizeof hub, stdin)) die("no address of a hub on standard input");
  hub[strcspn(hub, "\r\n")] = 0;
  subscriber_connect(hub);
  pthread_create(&reader, NULL, subscriber_run, NULL);
  for (int i = 0; i < 500 && !subscriber.is_subscribed && !failure; i++) usleep(10000);
  if (!subscriber.is_subscribed) fail("the hub did not answer the subscription");
  atomic_store(&run_phase, WARMING);
  await_phase(LOADING, WARM_SECONDS_MOST, "the hub did not fetch all books");
  if (!failure) printf("loading\n"), fflush(stdout);
  uint64_t began = now_ns();
  await_phase(SENT, S.seconds * 3 + 10, "the hub reads too slowly: the venue could not send in time");
  double seconds = (double)(now_ns() - began) / 1e9;
  for (uint64_t end = now_ns() + SETTLE_SECONDS_MOST * 1000000000ull; !is_everything_received() && !failure && now_ns() < end;) usleep(10000);
  atomic_store(&run_phase, OVER);
  pthread_join(sender, NULL);
  pthread_join(reader, NULL);
  report(seconds);
  fflush(stdout);
  // The connections stay until the hub's metrics were read: to lose one counts there.
  while (fgets(hub, sizeof hub, stdin)) {}
  return failure != NULL;
}
