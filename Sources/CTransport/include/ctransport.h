#pragma once
#include <stddef.h>
#include <stdint.h>

// What Swift cannot say about sockets, libwebsockets and OpenSSL: macros, feature-macro calls, variadics. No logic of
// the hub's, and no feature macro in this header (a module map sees it).

// ---- sockets. Functions that return int return -errno where they fail.

/// A listening, non-blocking socket on `host`:`port` that several loops of this process may share.
/// -EADDRINUSE when another process holds the address.
int ct_listen(const char *host, uint16_t port, int backlog);
uint16_t ct_bound_port(int descriptor);
/// The next connection, non-blocking and without Nagle's delay; `peer` receives its numeric address.
int ct_accept(int listener, char *peer, size_t peer_size);
void ct_bound_send_queue(int descriptor, int send_buffer_bytes, int not_sent_low_water_bytes);
void ct_reset_on_close(int descriptor);
long ct_raise_descriptor_limit(void);
/// A non-blocking socket without Nagle's delay that begins to connect to a numeric address; writable when that has ended.
int ct_connect(const char *address, uint16_t port);
/// How connecting ended: 0, or the error number.
int ct_connect_result(int descriptor);
/// Bytes sent; 0 when there is no room.
long ct_send(int descriptor, const void *bytes, size_t count);
/// Bytes received; 0 when there is nothing yet, -EPIPE at the end.
long ct_receive(int descriptor, void *bytes, size_t count);
/// Sends what the socket takes at once and closes it.
void ct_answer_and_close(int descriptor, const void *bytes, size_t count);

// ---- connections taken out of libwebsockets

/// Another descriptor of the same connection, under whose old number nothing is left that could reach it; `watcher` is the epoll
/// set that has that number. Close both.
int ct_take_descriptor(int descriptor, int watcher);
/// The TLS of a connection of libwebsockets, kept beyond it; NULL where there is none.
void *ct_tls_take(void *wsi);
/// Goes on with it on a descriptor, once libwebsockets has let go of the connection.
void ct_tls_resume(void *connection, int descriptor);
/// The peer reads the end; what it still sends can be read.
void ct_end_of_writing(int descriptor);

enum ct_events { CT_READABLE = 1, CT_WRITABLE = 2 };
enum { CT_READY_MOST = 256 };
/// `events` are ct_events; an error or an end counts as readable.
struct ct_ready {
  uint64_t id;
  uint32_t events;
};
int ct_epoll(void);
/// Watches a descriptor for ct_events; `id` comes back in ct_epoll_ready.
int ct_epoll_add(int set, int descriptor, uint32_t wanted, uint64_t id);
int ct_epoll_change(int set, int descriptor, uint32_t wanted, uint64_t id);
/// Whoever is ready now, at most CT_READY_MOST of them; does not wait.
int ct_epoll_ready(int set, struct ct_ready *ready, int most);

// ---- waking a loop

int ct_eventfd(void);
void ct_eventfd_signal(int descriptor);
void ct_eventfd_drain(int descriptor);

// ---- libwebsockets

size_t ct_lws_pre(void);
/// The vhost option that demands a client's certificate.
uint64_t ct_lws_wants_client_certificate(void);
/// Keeps libwebsockets from printing; its last line of each thread is kept for ct_last_log_line.
void ct_keep_log_lines(void);
const char *ct_last_log_line(void);
void ct_forget_log_line(void);

// ---- OpenSSL

/// TLS 1.2 and 1.3, no session cache, and tickets under keys that all loops of the process share and that rotate.
void ct_prepare_server_tls(void *ssl_ctx);
/// The SSL_CTX that was prepared last on this thread.
void *ct_prepared_server_tls(void);
/// What a server shows of its authority's word on its certificate; one for an SSL_CTX, to be freed after it.
void *ct_staple(void);
void ct_staple_free(void *staple);
/// Has connections from now on shown this certificate with its chain (PEM), and the authority's word on it (an OCSP response in DER,
/// or NULL). All or nothing: 0 when something cannot be used, and `problem` says what; 2 when the authority's word has expired and
/// is not shown.
int ct_certificate_use(void *ssl_ctx, const char *certificate, const char *key, const char *response, void *staple,
                       char problem[256]);
/// A client's context: TLS 1.2 and 1.3, the peer's certificate checked against `authorities` (a PEM file; NULL for the
/// system's), with a certificate and key of its own where they are not NULL. NULL when a file cannot be used; `problem` says why.
void *ct_tls_client_context(const char *authorities, const char *certificate, const char *key, char problem[256]);
void ct_tls_context_free(void *context);
/// A connection on a connected socket, to the name or numeric address that the peer's certificate must bear.
void *ct_tls_client(void *context, int descriptor, const char *host);
void ct_tls_free(void *connection);
enum ct_tls_result { CT_TLS_WANTS_READ = -2, CT_TLS_WANTS_WRITE = -3, CT_TLS_ENDED = -4, CT_TLS_FAILED = -5 };
/// 1 when the connection is established, else a ct_tls_result; `problem` says why it failed.
int ct_tls_handshake(void *connection, char problem[256]);
/// Bytes, above zero, or a ct_tls_result.
long ct_tls_read(void *connection, void *bytes, size_t count);
long ct_tls_write(void *connection, const void *bytes, size_t count);
/// Says goodbye where that is possible at once.
void ct_tls_shutdown(void *connection);
/// What a WebSocket's client asks with, and what its server must answer (RFC 6455 section 4): base64 with an end.
void ct_websocket_key(const uint8_t nonce[16], char key[25]);
void ct_websocket_accept(const char *key, char accept[29]);
int ct_sha256(const void *bytes, size_t count, uint8_t digest[32]);

// ---- what one process hands to the one that takes its place

enum { CT_DESCRIPTORS_MOST = 200, CT_TICKET_KEY_BYTES = 600 };

/// Two ends of a stream between processes.
int ct_handover_pair(int pair[2]);
/// Sends bytes with at most CT_DESCRIPTORS_MOST descriptors, waiting at most so many ms; how many bytes went, at least one of those
/// given, the descriptors with the first of them.
long ct_send_descriptors(int socket, const void *bytes, size_t count, const int *descriptors, size_t number, int most_ms);
/// Receives at least one byte, and descriptors into room for CT_DESCRIPTORS_MOST; -EPIPE at the end, -ETIMEDOUT.
long ct_receive_descriptors(int socket, void *bytes, size_t count, int *descriptors, size_t *number, int most_ms);
/// Starts a program with no signal blocked and no descriptor above `as`, which is `kept` there; its process id.
int ct_spawn(const char *path, char *const arguments[], char *const environment[], int kept, int as);
/// The keys of this process's session tickets: how many bytes of `keys` are used.
size_t ct_ticket_keys(uint8_t keys[CT_TICKET_KEY_BYTES]);
/// Opens tickets of these keys as well, and seals with the newest of them; before anybody is listened for.
void ct_use_ticket_keys(const uint8_t *keys, size_t count);

// ---- clocks

uint64_t ct_monotonic_ns(void);
/// The present time as HTTP writes it (RFC 9110 section 5.6.7).
void ct_http_date(char text[32]);
