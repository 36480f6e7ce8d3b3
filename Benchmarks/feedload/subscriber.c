// The subscriber: every trade and some books of the hub's enhanced channel, counted and compared with what was sent.
#define _GNU_SOURCE
#include "feedload.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_BYTES_MOST = 64 << 20, TOPICS_MOST = 1 << 20, CHANNEL_TRADES = 2, CHANNEL_BOOK = 3, DELIVERY_EVERY = 1 };

subscriber_figures subscriber;
static int sock = -1;
static uint8_t *in;
static size_t in_begin, in_end, in_capacity;

typedef struct {
  int channel;
  instrument *of;
} topic;

static topic *topics;

// ---- protobuf --------------------------------------------------------------------------------------------------------

typedef struct {
  const uint8_t *at, *end;
} bytes;

typedef struct {
  uint32_t number;
  uint64_t value;
  bytes content;
} field;

static uint64_t varint(bytes *b) {
  uint64_t value = 0;
  for (int shift = 0; b->at < b->end && shift < 64; shift += 7) {
    uint8_t byte = *b->at++;
    value |= (uint64_t)(byte & 127) << shift;
    if (!(byte & 128)) return value;
  }
  die("the hub sent a frame that is no protobuf");
}

static bool next_field(bytes *b, field *f) {
  if (b->at >= b->end) return false;
  uint64_t key = varint(b);
  f->number = (uint32_t)(key >> 3);
  size_t count = 0;
  switch (key & 7) {
  case 0: f->value = varint(b); return true;
  case 1: count = 8; break;
  case 2: count = varint(b); break;
  case 5: count = 4; break;
  default: die("the hub sent a frame that is no protobuf");
  }
  if (count > (size_t)(b->end - b->at)) die("the hub sent a frame that is no protobuf");
  f->content = (bytes){b->at, b->at + count};
  b->at += count;
  return true;
}

static int64_t zigzag(uint64_t value) { return (int64_t)(value >> 1) ^ -(int64_t)(value & 1); }

// ---- what the hub says -----------------------------------------------------------------------------------------------

static instrument *instrument_named(bytes name) {
  for (int i = 0; i < S.instruments; i++)
    if (strlen(I[i].raw_symbol) == (size_t)(name.end - name.at) && !memcmp(I[i].raw_symbol, name.at, strlen(I[i].raw_symbol)))
      return &I[i];
  return NULL;
}

static void take_topic(bytes b) {
  uint64_t id = 0, channel = 0, sequence = 0;
  instrument *of = NULL;
  for (field f; next_field(&b, &f);) {
    if (f.number == 1) id = f.value;
    if (f.number == 3) channel = f.value;
    if (f.number == 10) sequence = f.value;
    if (f.number == 2)
      for (field g; next_field(&f.content, &g);)
        if (g.number == 4) of = instrument_named(g.content);
  }
  if (!of || id >= TOPICS_MOST) die("the hub named a topic that was not asked for");
  topics[id] = (topic){(int)channel, of};
  if (channel == CHANNEL_BOOK) of->is_book_followed = true, of->book_sequence = sequence;
}

static void take_reply(bytes b) {
  for (field f; next_field(&b, &f);) {
    if (f.number == 2) die("the hub refused a request: %.*s", (int)(f.content.end - f.content.at), (const char *)f.content.at);
    if (f.number != 4) continue;
    for (field result; next_field(&f.content, &result);)
      for (field g; next_field(&result.content, &g);) {
        if (g.number == 2) take_topic(g.content);
        if (g.number == 3) die("the hub refused a symbol: %.*s", (int)(g.content.end - g.content.at), (const char *)g.content.at);
      }
  }
  subscriber.is_subscribed = true;
}

static void measure(const instrument *of, uint64_t id, uint64_t read, uint64_t now) {
  if (id <= of->trades_before || atomic_load(&run_phase) < LOADING) return;
  if (of->trade_id > id + TRADES_KEPT - 1) {
    subscriber.unmeasured++;
    return;
  }
  uint64_t due = atomic_load_explicit(&of->due[id % TRADES_KEPT], memory_order_acquire);
  if (subscriber.measured == subscriber.capacity) {
    size_t capacity = subscriber.capacity = subscriber.capacity ? subscriber.capacity * 2 : 1 << 20;
    subscriber.lag_ms = realloc(subscriber.lag_ms, capacity * sizeof *subscriber.lag_ms);
    subscriber.read_lag_ms = realloc(subscriber.read_lag_ms, capacity * sizeof *subscriber.read_lag_ms);
    subscriber.is_burst = realloc(subscriber.is_burst, capacity * sizeof *subscriber.is_burst);
    if (!subscriber.lag_ms || !subscriber.read_lag_ms || !subscriber.is_burst) die("no memory");
  }
  subscriber.lag_ms[subscriber.measured] = (double)(int64_t)(now - (due >> 1)) / 1e6;
  subscriber.read_lag_ms[subscriber.measured] = (double)(int64_t)(read - (due >> 1)) / 1e6;
  subscriber.is_burst[subscriber.measured++] = due & 1;
}

static void take_trade(instrument *of, bytes b, uint64_t read, uint64_t now) {
  uint64_t id = 0;
  for (field f; next_field(&b, &f);)
    if (f.number == 4)
      for (const uint8_t *at = f.content.at; at < f.content.end; at++) id = id * 10 + (uint64_t)(*at - '0');
  subscriber.trades++;
  if (!of->first_trade_seen) of->first_trade_seen = id;
  else if (id <= of->last_trade_seen) subscriber.repeated++;
  else subscriber.missing += id - of->last_trade_seen - 1;
  if (id > of->last_trade_seen) of->last_trade_seen = id;
  measure(of, id, read, now);
}

static void take_book(instrument *of, bytes b, bool is_snapshot) {
  if (is_snapshot) memset(of->book, 0, sizeof of->book);
  for (field side; next_field(&b, &side);) {
    if (side.number > 2) continue;
    int64_t price = 0, quantity = 0;
    for (field f; next_field(&side.content, &f);) {
      if (f.number == 1) price = zigzag(f.value);
      if (f.number == 2) quantity = (int64_t)f.value;
    }
    int64_t level = (price - PRICE_LEAST) / PRICE_STEP;
    if (level < 0 || level >= LEVELS) fail("the hub's book has a price that the venue never had");
    else of->book[level] = quantity;
  }
}

static void take_push(bytes b, uint64_t now) {
  uint64_t id = 0, sequence = 0, previous = 0, read = 0;
  field payload = {0};
  for (field f; next_field(&b, &f);) {
    if (f.number == 1) id = f.value;
    else if (f.number == 2) sequence = f.value;
    else if (f.number == 3) previous = f.value;
    else if (f.number == 6) memcpy(&read, f.content.at, sizeof read);
    else if (f.number >= 8) payload = f;
  }
  if (id >= TOPICS_MOST || !topics[id].of) die("the hub pushed to a topic that was not told");
  instrument *of = topics[id].of;
  if (payload.number == 9) take_trade(of, payload.content, read, now);
  if (payload.number == 14) fail("the hub merged trades");
  if (payload.number != 10 && payload.number != 11) return;
  subscriber.book_pushes++;
  if (payload.number == 11 && previous != of->book_sequence) subscriber.book_gaps++;
  of->book_sequence = sequence;
  take_book(of, payload.content, payload.number == 10);
}

static void take_frame(bytes b) {
  uint64_t now = now_ns();
  bytes again = b;
  subscriber.frames++;
  // Topics first: a reply tells those of the pushes beside it.
  for (field f; next_field(&b, &f);)
    if (f.number == 1) take_reply(f.content);
  for (field f; next_field(&again, &f);)
    if (f.number == 2) take_push(f.content, now);
}

// ---- the socket ------------------------------------------------------------------------------------------------------

static void send_all(const void *data, size_t count) {
  for (const char *at = data; count;) {
    ssize_t n = send(sock, at, count, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) die("the hub's connection is gone");
    at += n, count -= (size_t)n;
  }
}

// Masked, as a client must, with a mask of zeros.
static void send_frame(int opcode, const uint8_t *data, size_t count) {
  uint8_t frame[256] = {(uint8_t)(0x80 | opcode), (uint8_t)(0x80 | count)};
  if (count > 125) die("a request is too long");
  if (count) memcpy(frame + 6, data, count);
  send_all(frame, 6 + count);
}

static void subscribe(uint8_t id, uint8_t channel, const char *pattern, uint8_t delivery) {
  size_t name = strlen(pattern), subscription = name + 4 + (delivery ? 2 : 0), command = subscription + 4;
  uint8_t frame[125] = {0x0A, (uint8_t)command, 0x08, id, 0x2A, (uint8_t)subscription, 0x08, channel, 0x12, (uint8_t)name};
  if (command > 100) die("a pattern is too long");
  memcpy(frame + 10, pattern, name);
  if (delivery) frame[10 + name] = 0x28, frame[11 + name] = delivery;
  send_frame(2, frame, command + 2);
}

static void read_more(void) {
  if (in_begin == in_end) in_begin = in_end = 0;
  if (in_end == in_capacity && in_begin) {
    memmove(in, in + in_begin, in_end - in_begin);
    in_end -= in_begin, in_begin = 0;
  } else if (in_end == in_capacity) {
    in_capacity = in_capacity ? in_capacity * 2 : 1 << 20;
    if (in_capacity > FRAME_BYTES_MOST || !(in = realloc(in, in_capacity))) die("the hub sent too long a frame");
  }
  ssize_t n = recv(sock, in + in_end, in_capacity - in_end, 0);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (n <= 0) fail("the hub closed the subscriber's connection");
  else in_end += (size_t)n;
}

static void take_frames(void) {
  while (in_end - in_begin >= 2) {
    uint8_t *at = in + in_begin;
    size_t count = at[1] & 127, head = count == 126 ? 4 : count == 127 ? 10 : 2;
    if (in_end - in_begin < head) return;
    if (head > 2) count = 0;
    for (size_t i = 2; i < head; i++) count = count << 8 | at[i];
    if (in_end - in_begin < head + count) return;
    int opcode = at[0] & 15;
    if (opcode == 2) take_frame((bytes){at + head, at + head + count});
    if (opcode == 8) {
      static char reason[64];
      snprintf(reason, sizeof reason, "the hub closed the subscriber with %d", count >= 2 ? at[head] << 8 | at[head + 1] : 0);
      fail(reason);
    }
    if (opcode == 9) send_frame(10, at + head, count);
    in_begin += head + count;
  }
}

void subscriber_connect(const char *address) {
  char host[64], text[512];
  unsigned port;
  if (sscanf(address, "%63[0-9.]:%u", host, &port) != 2) die("'%s' is no address of a hub", address);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int bytes_most = 4 << 20, one = 1;
  setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &bytes_most, sizeof bytes_most);
  setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(sock, (struct sockaddr *)&to, sizeof to)) die("the hub does not answer at %s", address);
  struct timeval wait = {.tv_usec = 100000};
  setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  int count = snprintf(text, sizeof text,
                       "GET /ws/v2 HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: bWFya2V0LWh1YiBsb2FkIQ==\r\nSec-WebSocket-Protocol: market-hub.v2.protobuf\r\n\r\n",
                       address);
  send_all(text, (size_t)count);
  uint8_t *end = NULL;
  for (int i = 0; i < 50 && !end && !failure; i++) {
    read_more();
    end = in_end ? memmem(in, in_end, "\r\n\r\n", 4) : NULL;
  }
  if (!end || strncmp((char *)in, "HTTP/1.1 101", 12)) die("the hub at %s does not speak market-hub.v2.protobuf", address);
  in_begin = (size_t)(end + 4 - in);
  if (!(topics = calloc(TOPICS_MOST, sizeof *topics))) die("no memory");
  subscribe(1, CHANNEL_TRADES, "*", DELIVERY_EVERY);
  if (*S.books) subscribe(2, CHANNEL_BOOK, S.books, 0);
}

void *subscriber_run(void *unused) {
  while (atomic_load(&run_phase) != OVER && !failure) {
    read_more();
    take_frames();
  }
  return unused;
}
