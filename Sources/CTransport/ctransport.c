#define _GNU_SOURCE
#include "ctransport.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// ---- listening

static int parse_address(const char *host, uint16_t port, struct sockaddr_storage *address, socklen_t *length) {
  struct sockaddr_in *four = (struct sockaddr_in *)address;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
  memset(address, 0, sizeof *address);
  if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
  if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    *length = sizeof *four;
    return 0;
  }
  if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    *length = sizeof *six;
    return 0;
  }
  return -EADDRNOTAVAIL;
}

/// Whether one of this process's own listeners has the address. Start-up only: it looks at every descriptor.
static int held_by_this_process(const struct sockaddr_storage *address, socklen_t length) {
  DIR *descriptors = opendir("/proc/self/fd");
  int held = 0;
  if (!descriptors) return 0;
  for (struct dirent *entry; !held && (entry = readdir(descriptors));) {
    int descriptor = atoi(entry->d_name), listening = 0;
    socklen_t size = sizeof listening;
    struct sockaddr_storage own = {0};
    socklen_t own_length = sizeof own;
    if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) || !listening) continue;
    if (getsockname(descriptor, (struct sockaddr *)&own, &own_length)) continue;
    held = own_length == length && memcmp(&own, address, length) == 0;
  }
  closedir(descriptors);
  return held;
}

int ct_listen(const char *host, uint16_t port, int backlog) {
  struct sockaddr_storage address;
  socklen_t length;
  int yes = 1, failure = parse_address(host, port, &address, &length);
  if (failure) return failure;
  int descriptor = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (address.ss_family == AF_INET6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  // The first bind is exclusive: it fails when anybody listens there, even one who would share. Sharing is allowed
  // only afterwards, so a foreign holder is noticed and nobody can slip in between.
  failure = bind(descriptor, (struct sockaddr *)&address, length) ? -errno : 0;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  if (failure == -EADDRINUSE && held_by_this_process(&address, length))
    failure = bind(descriptor, (struct sockaddr *)&address, length) ? -errno : 0;
  if (!failure && listen(descriptor, backlog)) failure = -errno;
  if (failure) close(descriptor);
  return failure ? failure : descriptor;
}

uint16_t ct_bound_port(int descriptor) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(descriptor, (struct sockaddr *)&address, &length)) return 0;
  return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                             : ((struct sockaddr_in *)&address)->sin_port);
}

int ct_accept(int listener, char *peer, size_t peer_size) {
  struct sockaddr_storage address = {0};
  socklen_t length = sizeof address;
  int yes = 1, descriptor = accept4(listener, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor < 0) return -errno;
  // At once: with Nagle's delay a TLS 1.3 handshake takes 44 ms instead of one.
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  const void *number = address.ss_family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)&address)->sin6_addr
                                                     : (const void *)&((struct sockaddr_in *)&address)->sin_addr;
  if (!inet_ntop(address.ss_family, number, peer, (socklen_t)peer_size)) peer[0] = 0;
  return descriptor;
}

void ct_bound_send_queue(int descriptor, int send_buffer_bytes, int not_sent_low_water_bytes) {
  if (send_buffer_bytes > 0)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof send_buffer_bytes);
  if (not_sent_low_water_bytes > 0)
    setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &not_sent_low_water_bytes,
               sizeof not_sent_low_water_bytes);
}

void ct_reset_on_close(int descriptor) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

long ct_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) return -1;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return getrlimit(RLIMIT_NOFILE, &limit) ? -1 : (long)limit.rlim_cur;
}

int ct_connect(const char *host, uint16_t port) {
  struct sockaddr_storage address;
  socklen_t length;
  int yes = 1, failure = parse_address(host, port, &address, &length);
  if (failure) return failure;
  int descriptor = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (connect(descriptor, (struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS) return descriptor;
  failure = -errno;
  close(descriptor);
  return failure;
}

int ct_connect_result(int descriptor) {
  int result = 0;
  socklen_t size = sizeof result;
  return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &result, &size) ? errno : result;
}

long ct_send(int descriptor, const void *bytes, size_t count) {
  ssize_t sent = send(descriptor, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return (long)sent;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -(long)errno;
}

long ct_receive(int descriptor, void *bytes, size_t count) {
  ssize_t got = recv(descriptor, bytes, count, MSG_DONTWAIT);
  if (got > 0) return (long)got;
  if (got == 0) return -(long)EPIPE;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -(long)errno;
}

void ct_answer_and_close(int descriptor, const void *bytes, size_t count) {
  ssize_t sent = send(descriptor, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
  (void)sent;
  shutdown(descriptor, SHUT_WR);
  close(descriptor);
}

// ---- waking

int ct_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void ct_eventfd_signal(int descriptor) {
  uint64_t one = 1;
  ssize_t written = write(descriptor, &one, sizeof one);
  (void)written;
}

void ct_eventfd_drain(int descriptor) {
  uint64_t count;
  ssize_t got = read(descriptor, &count, sizeof count);
  (void)got;
}

// ---- libwebsockets

size_t ct_lws_pre(void) { return LWS_PRE; }
uint64_t ct_lws_wants_client_certificate(void) { return LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT; }

static _Thread_local char last_line[256];

static void keep_line(int level, const char *line) {
  (void)level;
  strncpy(last_line, line, sizeof last_line - 1);
  size_t length = strlen(last_line);
  while (length && (last_line[length - 1] == '\n' || last_line[length - 1] == ' ')) last_line[--length] = 0;
}

static void set_log(void) { lws_set_log_level(LLL_ERR | LLL_WARN, keep_line); }

void ct_keep_log_lines(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, set_log);
}

const char *ct_last_log_line(void) { return last_line; }
void ct_forget_log_line(void) { last_line[0] = 0; }

// ---- session tickets: one ring of keys for the process, so that a client resumes on whichever loop takes it

enum { TICKET_KEYS = 3, TICKET_KEY_SECONDS = 3600 };

struct ticket_key {
  uint8_t name[16], cipher[32], authentication[32];
  time_t made;
};

static struct ticket_key ticket_keys[TICKET_KEYS];
static int ticket_key_count;
static pthread_mutex_t ticket_lock = PTHREAD_MUTEX_INITIALIZER;

static time_t monotonic_seconds(void) { return (time_t)(ct_monotonic_ns() / 1000000000u); }

/// The newest key, made anew every hour; the two before it still open tickets.
static int newest_ticket_key(struct ticket_key *copy) {
  int made = 1;
  time_t now = monotonic_seconds();
  pthread_mutex_lock(&ticket_lock);
  if (ticket_key_count == 0 || now - ticket_keys[0].made >= TICKET_KEY_SECONDS) {
    struct ticket_key fresh = {.made = now};
    made = RAND_bytes(fresh.name, sizeof fresh.name) == 1 && RAND_bytes(fresh.cipher, sizeof fresh.cipher) == 1 &&
           RAND_bytes(fresh.authentication, sizeof fresh.authentication) == 1;
    if (made) {
      memmove(ticket_keys + 1, ticket_keys, sizeof ticket_keys - sizeof ticket_keys[0]);
      ticket_keys[0] = fresh;
      if (ticket_key_count < TICKET_KEYS) ticket_key_count++;
    }
  }
  if (made) *copy = ticket_keys[0];
  pthread_mutex_unlock(&ticket_lock);
  return made;
}

/// Its place in the ring, or -1.
static int find_ticket_key(const uint8_t name[16], struct ticket_key *copy) {
  int place = -1;
  time_t now = monotonic_seconds();
  pthread_mutex_lock(&ticket_lock);
  for (int i = 0; i < ticket_key_count && place < 0; i++)
    if (memcmp(ticket_keys[i].name, name, 16) == 0 && now - ticket_keys[i].made < TICKET_KEYS * TICKET_KEY_SECONDS) {
      *copy = ticket_keys[i];
      place = i;
    }
  pthread_mutex_unlock(&ticket_lock);
  return place;
}

static int use_ticket_key(SSL *ssl, unsigned char name[16], unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher,
                          EVP_MAC_CTX *mac, int encrypts) {
  struct ticket_key key;
  // All listeners share the keys: a ticket of one that asks for no certificate must not open one that does.
  if (!encrypts && SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) return 0;
  int place = 0;
  if (encrypts) {
    if (!newest_ticket_key(&key) || RAND_bytes(iv, 16) != 1) return -1;
    memcpy(name, key.name, sizeof key.name);
  } else if ((place = find_ticket_key(name, &key)) < 0) {
    return 0;
  }
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.authentication, sizeof key.authentication),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "sha256", 0), OSSL_PARAM_construct_end()};
  int ready = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv, encrypts) == 1 &&
              EVP_MAC_CTX_set_params(mac, parameters) == 1;
  OPENSSL_cleanse(&key, sizeof key);
  if (!ready) return -1;
  return !encrypts && place > 0 ? 2 : 1;  // 2: good, and send a fresh ticket
}

// CLOCK_MONOTONIC is the same for all processes of a machine: a key's age goes on.
_Static_assert(sizeof ticket_keys <= CT_TICKET_KEY_BYTES, "more keys than room for them");

size_t ct_ticket_keys(uint8_t keys[CT_TICKET_KEY_BYTES]) {
  pthread_mutex_lock(&ticket_lock);
  size_t count = (size_t)ticket_key_count * sizeof ticket_keys[0];
  memcpy(keys, ticket_keys, count);
  pthread_mutex_unlock(&ticket_lock);
  return count;
}

void ct_use_ticket_keys(const uint8_t *keys, size_t count) {
  if (count > sizeof ticket_keys || count % sizeof ticket_keys[0]) return;
  pthread_mutex_lock(&ticket_lock);
  memcpy(ticket_keys, keys, count);
  ticket_key_count = (int)(count / sizeof ticket_keys[0]);
  pthread_mutex_unlock(&ticket_lock);
}

static _Thread_local void *prepared;

void *ct_prepared_server_tls(void) { return prepared; }

void ct_prepare_server_tls(void *ssl_ctx) {
  SSL_CTX *context = ssl_ctx;
  prepared = ssl_ctx;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(context, (const unsigned char *)"market-hub", 10);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, use_ticket_key);
}

// ---- TLS as a client, for raw connections: libwebsockets begins it before the socket is connected

static void keep_problem(char problem[256]) {
  unsigned long code = ERR_peek_last_error();
  const char *reason = code ? ERR_reason_error_string(code) : NULL;
  snprintf(problem, 256, "%s", reason ? reason : "no reason known");
  ERR_clear_error();
}

void *ct_tls_client_context(const char *authorities, const char *certificate, const char *key, char problem[256]) {
  ERR_clear_error();
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  int good = context && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
             (authorities ? SSL_CTX_load_verify_file(context, authorities) : SSL_CTX_set_default_verify_paths(context)) == 1;
  if (good && certificate)
    good = SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
           SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(context) == 1;
  if (!good) {
    keep_problem(problem);
    SSL_CTX_free(context);
    return NULL;
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

void ct_tls_context_free(void *context) { SSL_CTX_free(context); }

void *ct_tls_client(void *context, int descriptor, const char *host) {
  SSL *ssl = SSL_new(context);
  unsigned char number[16];
  int is_number = inet_pton(AF_INET, host, number) == 1 || inet_pton(AF_INET6, host, number) == 1;
  int good = ssl && SSL_set_fd(ssl, descriptor) == 1 &&
             (is_number ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host)
                        : SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host)) == 1;
  if (good) return ssl;
  SSL_free(ssl);
  return NULL;
}

void ct_tls_free(void *connection) { SSL_free(connection); }

static int tls_result(SSL *ssl, int result) {
  switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ: return CT_TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE: return CT_TLS_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN: return CT_TLS_ENDED;
    default: return CT_TLS_FAILED;
  }
}

int ct_tls_handshake(void *connection, char problem[256]) {
  ERR_clear_error();
  int result = SSL_connect(connection);
  if (result == 1) return 1;
  result = tls_result(connection, result);
  if (result != CT_TLS_FAILED && result != CT_TLS_ENDED) return result;
  long verified = SSL_get_verify_result(connection);
  if (verified == X509_V_OK) {
    keep_problem(problem);
  } else {
    snprintf(problem, 256, "%s", X509_verify_cert_error_string(verified));
    ERR_clear_error();
  }
  return result;
}

long ct_tls_read(void *connection, void *bytes, size_t count) {
  size_t got = 0;
  ERR_clear_error();
  int result = SSL_read_ex(connection, bytes, count, &got);
  return result == 1 ? (long)got : tls_result(connection, result);
}

long ct_tls_write(void *connection, const void *bytes, size_t count) {
  size_t sent = 0;
  ERR_clear_error();
  int result = SSL_write_ex(connection, bytes, count, &sent);
  return result == 1 ? (long)sent : tls_result(connection, result);
}

void ct_tls_shutdown(void *connection) {
  ERR_clear_error();
  SSL_shutdown(connection);
  ERR_clear_error();
}

void ct_websocket_key(const uint8_t nonce[16], char key[25]) { EVP_EncodeBlock((unsigned char *)key, nonce, 16); }

void ct_websocket_accept(const char *key, char accept[29]) {
  char text[128];
  unsigned char digest[20];
  int count = snprintf(text, sizeof text, "%.64s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
  EVP_Digest(text, (size_t)count, digest, NULL, EVP_sha1(), NULL);
  EVP_EncodeBlock((unsigned char *)accept, digest, 20);
}

int ct_sha256(const void *bytes, size_t count, uint8_t digest[32]) {
  return EVP_Digest(bytes, count, digest, NULL, EVP_sha256(), NULL);
}

// ---- clocks

uint64_t ct_monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void ct_http_date(char text[32]) {
  static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  time_t now = time(NULL);
  struct tm parts;
  gmtime_r(&now, &parts);
  char rest[24];
  strftime(rest, sizeof rest, "%Y %H:%M:%S GMT", &parts);
  snprintf(text, 32, "%s, %02d %s %s", days[parts.tm_wday], parts.tm_mday, months[parts.tm_mon], rest);
}
