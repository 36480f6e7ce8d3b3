// The venue: Binance USD-M as its books, trades and quotes look to a client, over plain WebSocket and HTTP on one port.
#define _GNU_SOURCE
#include "feedload.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  CONNECTIONS_MOST = 64,
  REQUEST_BYTES_MOST = 1 << 17,
  // What waits for a hub that reads too slowly; when it is full the venue waits, and its messages become late.
  BACKLOG_BYTES_MOST = 64 << 20,
  MESSAGE_BYTES_MOST = 4096,
  SNAPSHOT_BYTES_MOST = 64 << 10,
  TICK_NS = 500000,
};

typedef struct {
  int fd;
  bool is_websocket, closes_when_sent;
  char *in, *out;
  size_t in_count, out_begin, out_end, out_capacity;
} connection;

venue_figures venue;
static connection C[CONNECTIONS_MOST];
static int listener;
static uint64_t random_state = 0x9E3779B97F4A7C15u;

static uint64_t next_random(void) {
  random_state ^= random_state << 13, random_state ^= random_state >> 7;
  return random_state ^= random_state << 17;
}

static uint32_t below(uint32_t bound) { return (uint32_t)(((next_random() >> 32) * bound) >> 32); }

// ---- text ------------------------------------------------------------------------------------------------------------

static char *put(char *at, const char *text) {
  size_t count = strlen(text);
  memcpy(at, text, count);
  return at + count;
}

static char *put_number(char *at, uint64_t value) {
  char digits[20];
  int count = 0;
  do digits[count++] = (char)('0' + value % 10);
  while (value /= 10);
  while (count) *at++ = digits[--count];
  return at;
}

static char *put_decimal(char *at, uint64_t value, uint64_t unit) {
  at = put_number(at, value / unit);
  *at++ = '.';
  for (value %= unit; unit /= 10; value %= unit) *at++ = (char)('0' + value / unit);
  return at;
}

static char *put_price(char *at, int level) { return put_decimal(at, PRICE_LEAST + (uint64_t)level * PRICE_STEP, 100); }

static char *put_level(char *at, int level, uint32_t quantity) {
  at = put_price(put(at, "[\""), level);
  return put(put_decimal(put(at, "\",\""), quantity, 1000), "\"]");
}

static char *put_times(char *at, uint64_t ms) { return put_number(put(put_number(put(at, "\"E\":"), ms), ",\"T\":"), ms); }

static char *put_head(char *at, const instrument *of, const char *stream, const char *type) {
  at = put(put(put(put(at, "{\"stream\":\""), of->stream_name), stream), "\",\"data\":{\"e\":\"");
  return put(put(at, type), "\",");
}

// ---- messages --------------------------------------------------------------------------------------------------------

static int best(bool is_bid) { return is_bid ? LEVELS / 2 - 1 : LEVELS / 2; }

// Changes most often near the best price, as real ones do; the best levels always stay.
static char *put_changes(char *at, instrument *of, bool is_bid, int count) {
  at = put(at, is_bid ? "\"b\":[" : ",\"a\":[");
  // Each level once, in rising order of its distance: steps that grow with the distance.
  int distance = 0;
  for (int i = 0; i < count; i++) {
    distance += i ? 1 + (int)below((uint32_t)(1 + i / 4)) : 0;
    if (distance >= LEVELS / 2) break;
    int level = is_bid ? best(true) - distance : best(false) + distance;
    bool is_removed = distance > 0 && of->quantity[level] > 0 && below(4) == 0;
    of->quantity[level] = is_removed ? 0 : 1 + below(20000);
    if (i) *at++ = ',';
    at = put_level(at, level, of->quantity[level]);
  }
  return put(at, "]");
}

static char *put_book(char *at, instrument *of, uint64_t ms) {
  int count = 5 + (int)below(66), bids = count / 2;
  uint64_t previous = of->update_id, first = previous + 1 + below(3);
  of->update_id = first + (uint64_t)count;
  at = put_times(put_head(at, of, "@depth@100ms", "depthUpdate"), ms);
  at = put_number(put(put(put(at, ",\"s\":\""), of->raw_symbol), "\",\"U\":"), first);
  at = put_number(put(put_number(put(at, ",\"u\":"), of->update_id), ",\"pu\":"), previous);
  *at++ = ',';
  at = put_changes(put_changes(at, of, true, bids), of, false, count - bids);
  venue.books++;
  return put(at, "}}");
}

static char *put_trade(char *at, instrument *of, uint64_t ms, uint64_t due, bool is_burst) {
  bool is_buyer_maker = next_random() >> 63;
  uint64_t id = ++of->trade_id;
  atomic_store_explicit(&of->due[id % TRADES_KEPT], due << 1 | is_burst, memory_order_release);
  at = put(put_head(at, of, "@aggTrade", "aggTrade"), "\"E\":");
  at = put_number(put(put(put(put_number(at, ms), ",\"s\":\""), of->raw_symbol), "\",\"a\":"), id);
  at = put_price(put(at, ",\"p\":\""), best(is_buyer_maker));
  at = put_number(put(put_decimal(put(at, "\",\"q\":\""), 1 + below(5000), 1000), "\",\"f\":"), id * 2);
  at = put_number(put(put_number(put(at, ",\"l\":"), id * 2 + 1), ",\"T\":"), ms);
  venue.trades++;
  return put(at, is_buyer_maker ? ",\"m\":true}}" : ",\"m\":false}}");
}

static char *put_quote(char *at, instrument *of, uint64_t ms) {
  at = put_number(put(put_head(at, of, "@bookTicker", "bookTicker"), "\"u\":"), of->update_id);
  at = put_price(put(put(put(at, ",\"s\":\""), of->raw_symbol), "\",\"b\":\""), best(true));
  at = put_decimal(put(at, "\",\"B\":\""), of->quantity[best(true)], 1000);
  at = put_price(put(at, "\",\"a\":\""), best(false));
  at = put_decimal(put(at, "\",\"A\":\""), of->quantity[best(false)], 1000);
  venue.quotes++;
  return put(put_times(put(at, "\","), ms), "}}");
}

static char *put_snapshot(char *at, const instrument *of, uint64_t ms) {
  at = put_times(put(put_number(put(at, "{\"lastUpdateId\":"), of->update_id), ","), ms);
  for (int side = 0; side < 2; side++) {
    at = put(at, side ? "],\"asks\":[" : ",\"bids\":[");
    for (int distance = 0, count = 0; distance < LEVELS / 2; distance++) {
      int level = side ? best(false) + distance : best(true) - distance;
      if (!of->quantity[level]) continue;
      if (count++) *at++ = ',';
      at = put_level(at, level, of->quantity[level]);
    }
  }
  return put(at, "]}");
}

// ---- connections -----------------------------------------------------------------------------------------------------

static char *room(connection *c, size_t count) {
  if (c->out_begin == c->out_end) c->out_begin = c->out_end = 0;
  if (c->out_end + count > c->out_capacity && c->out_begin) {
    memmove(c->out, c->out + c->out_begin, c->out_end - c->out_begin);
    c->out_end -= c->out_begin;
    c->out_begin = 0;
  }
  while (c->out_end + count > c->out_capacity) {
    c->out_capacity = c->out_capacity ? c->out_capacity * 2 : 1 << 20;
    if (!(c->out = realloc(c->out, c->out_capacity))) die("no memory");
  }
  return c->out + c->out_end;
}

static void drop(connection *c) {
  close(c->fd);
  for (int i = 0; i < S.instruments; i++)
    if (I[i].connection == (int)(c - C)) {
      I[i].connection = -1;
      if (atomic_load(&run_phase) == LOADING) fail("the hub closed its connection to the venue");
    }
  free(c->in);
  free(c->out);
  *c = (connection){.fd = -1};
}

static void flush(connection *c) {
  while (c->out_begin < c->out_end) {
    ssize_t n = send(c->fd, c->out + c->out_begin, c->out_end - c->out_begin, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return drop(c);
    c->out_begin += (size_t)n;
  }
  if (c->closes_when_sent) drop(c);
}

// The header before a payload that was written 10 bytes behind the place of the frame.
static size_t close_frame(char *frame, size_t count) {
  uint8_t *head = (uint8_t *)frame;
  size_t head_count = count < 126 ? 2 : 4;
  head[0] = 0x81;
  head[1] = (uint8_t)(count < 126 ? count : 126);
  if (count >= 126) head[2] = (uint8_t)(count >> 8), head[3] = (uint8_t)count;
  memmove(frame + head_count, frame + 10, count);
  return head_count + count;
}

// l000usdt@depth@100ms in an address or a request. Books are asked for last, so whoever has asked for an instrument's book gets
// all its messages; of several the one who asked last.
static void take_streams(connection *c, const char *text, size_t count) {
  for (int i = 0; i < S.instruments; i++) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%s@depth@", I[i].stream_name);
    if (memmem(text, count, wanted, strlen(wanted))) I[i].connection = (int)(c - C);
  }
}

// {"method":"SUBSCRIBE","params":[...],"id":1}
static void answer_request(connection *c, const char *text, size_t count) {
  take_streams(c, text, count);
  const char *id = memmem(text, count, "\"id\":", 5);
  char *frame = room(c, 128);
  int written = sprintf(frame + 10, "{\"result\":null,\"id\":%d}", id ? atoi(id + 5) : 0);
  c->out_end += close_frame(frame, (size_t)written);
}

static void answer_handshake(connection *c, const char *request) {
  const char *key = strcasestr(request, "sec-websocket-key:");
  if (!key) return drop(c);
  for (key += 18; *key == ' '; key++) {}
  char text[128], accept[64];
  uint8_t digest[SHA_DIGEST_LENGTH];
  snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
  SHA1((const uint8_t *)text, strlen(text), digest);
  EVP_EncodeBlock((uint8_t *)accept, digest, sizeof digest);
  char *at = room(c, 512);
  c->out_end += (size_t)sprintf(
      at, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
  c->is_websocket = true;
  take_streams(c, request, strcspn(request, "\r"));
}

static void answer_snapshot(connection *c, const char *symbol, uint64_t ms) {
  size_t count = strcspn(symbol, "& ");
  for (int i = 0; i < S.instruments; i++) {
    if (strlen(I[i].raw_symbol) != count || memcmp(symbol, I[i].raw_symbol, count) != 0) continue;
    char *at = room(c, SNAPSHOT_BYTES_MOST), *body = at + 256, *end = put_snapshot(body, &I[i], ms);
    int head = sprintf(at, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                       (size_t)(end - body));
    memmove(at + head, body, (size_t)(end - body));
    c->out_end += (size_t)head + (size_t)(end - body);
    c->closes_when_sent = true;
    I[i].was_fetched = true;
    venue.fetches++;
    return;
  }
  drop(c);
}

// Pings and requests are answered. False when the connection is gone.
static bool read_frames(connection *c) {
  for (;;) {
    uint8_t *at = (uint8_t *)c->in;
    if (c->in_count < 6) return true;
    size_t count = at[1] & 127, head = 6;
    if (count == 126) count = (size_t)at[2] << 8 | at[3], head = 8;
    else if (count == 127 || !(at[1] & 128)) return drop(c), false;
    if (c->in_count < head + count) return true;
    int opcode = at[0] & 15;
    for (size_t i = 0; i < count; i++) at[head + i] ^= at[head - 4 + i % 4];
    if (opcode == 8) return drop(c), false;
    if (opcode == 1) answer_request(c, (const char *)at + head, count);
    if (opcode == 9 && count < 126) {
      char *pong = room(c, 2 + count);
      pong[0] = (char)0x8A, pong[1] = (char)count;
      memcpy(pong + 2, at + head, count);
      c->out_end += 2 + count;
    }
    c->in_count -= head + count;
    memmove(c->in, c->in + head + count, c->in_count);
  }
}

static void receive(connection *c, uint64_t ms) {
  ssize_t n = recv(c->fd, c->in + c->in_count, REQUEST_BYTES_MOST - 1 - c->in_count, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return drop(c);
  c->in_count += (size_t)n;
  c->in[c->in_count] = 0;
  if (c->is_websocket) {
    read_frames(c);
    return;
  }
  if (!strstr(c->in, "\r\n\r\n")) {
    if (c->in_count == REQUEST_BYTES_MOST - 1) drop(c);
    return;
  }
  const char *symbol = strstr(c->in, "/depth?symbol=");
  size_t line = strcspn(c->in, "\r");
  if (symbol && symbol < c->in + line) answer_snapshot(c, symbol + 14, ms);
  else answer_handshake(c, c->in);
  if (c->fd >= 0) c->in_count = 0;
}

static void accept_all(void) {
  for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    int i = 0, one = 1;
    while (i < CONNECTIONS_MOST && C[i].fd >= 0) i++;
    if (i == CONNECTIONS_MOST) die("more than %d connections to the venue", CONNECTIONS_MOST);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    C[i] = (connection){.fd = fd, .in = malloc(REQUEST_BYTES_MOST)};
    if (!C[i].in) die("no memory");
  }
}

int venue_listen(uint16_t port, uint16_t *chosen) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t count = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 64)) die("cannot listen on port %u", port);
  getsockname(fd, (struct sockaddr *)&address, &count);
  *chosen = ntohs(address.sin_port);
  return fd;
}

// ---- pace ------------------------------------------------------------------------------------------------------------

static uint64_t began, next_due;

static bool is_in_burst(uint64_t at) {
  double since = (double)(at - began) / 1e9, every = S.burst_every_seconds;
  // In the middle of each period, so that the load is steady before and after.
  double within = since - every * (double)(uint64_t)(since / every);
  return within >= every / 2 && within < every / 2 + S.burst_seconds;
}

static uint64_t wall_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void send_due(uint64_t now, uint64_t ms, bool is_load) {
  while (next_due <= now) {
    bool is_burst = is_load && is_in_burst(next_due);
    double rate = is_load ? (is_burst ? S.rate * S.burst_factor : S.rate) : S.warm_rate;
    instrument *of = &I[below((uint32_t)S.instruments)];
    if (of->connection < 0) {
      venue.undeliverable += is_load;
    } else {
      connection *c = &C[of->connection];
      if (c->out_end - c->out_begin > BACKLOG_BYTES_MOST) return;
      char *frame = room(c, MESSAGE_BYTES_MOST), *payload = frame + 10;
      // As often as in the recording of BTCUSDT of 2024: 7 books and 23 trades of 100.
      uint32_t kind = below(100);
      char *end = kind < 7    ? put_book(payload, of, ms)
                  : kind < 30 ? put_trade(payload, of, ms, next_due, is_burst)
                              : put_quote(payload, of, ms);
      c->out_end += close_frame(frame, (size_t)(end - payload));
      size_t waiting = c->out_end - c->out_begin;
      if (is_load) {
        double late = (double)(now - next_due) / 1e6;
        if (late > venue.late_ms_most) venue.late_ms_most = late;
        if (waiting > venue.backlog_most) venue.backlog_most = waiting;
        venue.messages++;
        venue.burst_messages += is_burst;
        venue.bytes += (uint64_t)(end - payload);
      }
    }
    next_due += (uint64_t)(1e9 / rate);
  }
}

static bool is_everything_fetched(void) {
  for (int i = 0; i < S.instruments; i++)
    if (I[i].connection < 0 || !I[i].was_fetched) return false;
  return true;
}

static void begin_load(uint64_t now) {
  uint64_t fetches = venue.fetches;
  venue = (venue_figures){.fetches = fetches};
  for (int i = 0; i < S.instruments; i++) I[i].trades_before = I[i].trade_id;
  began = next_due = now;
  atomic_store(&run_phase, LOADING);
}

void *venue_run(void *given) {
  listener = *(int *)given;
  for (int i = 0; i < CONNECTIONS_MOST; i++) C[i].fd = -1;
  for (int i = 0; i < S.instruments; i++)
    for (int level = 0; level < LEVELS; level++) I[i].quantity[level] = 1 + below(20000);
  uint64_t fetched = 0;
  for (int now_phase; (now_phase = atomic_load(&run_phase)) != OVER && !failure;) {
    uint64_t now = now_ns(), ms = wall_ms();
    if (now_phase == WARMING) {
      if (next_due == 0) next_due = now;
      send_due(now, ms, false);
      if (!fetched && is_everything_fetched()) fetched = now;
      // The last book is in use, and what the start has left behind is done.
      if (fetched && now - fetched > 2000000000u) begin_load(now);
    } else if (now_phase == LOADING) {
      uint64_t end = began + (uint64_t)(S.seconds * 1e9);
      send_due(now < end ? now : end, ms, true);
      if (next_due > end) atomic_store(&run_phase, SENT);
    }
    struct pollfd polled[CONNECTIONS_MOST + 1] = {{.fd = listener, .events = POLLIN}};
    for (int i = 0; i < CONNECTIONS_MOST; i++) {
      if (C[i].fd >= 0) flush(&C[i]);
      bool is_waiting = C[i].fd >= 0 && C[i].out_begin < C[i].out_end;
      polled[i + 1] = (struct pollfd){.fd = C[i].fd, .events = (short)(POLLIN | (is_waiting ? POLLOUT : 0))};
    }
    struct timespec tick = {.tv_nsec = TICK_NS};
    if (ppoll(polled, CONNECTIONS_MOST + 1, &tick, NULL) <= 0) continue;
    if (polled[0].revents) accept_all();
    for (int i = 0; i < CONNECTIONS_MOST; i++)
      if (C[i].fd >= 0 && C[i].fd == polled[i + 1].fd && polled[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) receive(&C[i], ms);
  }
  return NULL;
}
