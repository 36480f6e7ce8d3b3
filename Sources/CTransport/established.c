#define _GNU_SOURCE
#include "ctransport.h"

#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

// ---- taking a socket away from libwebsockets, which goes on to close what then stands in its place

int ct_take_descriptor(int descriptor, int watcher) {
  // An eventfd that nobody uses: nothing happens to it that could reach the connection.
  int stand_in = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (stand_in < 0) return -errno;
  int taken = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  if (taken < 0) {
    int failure = -errno;
    close(stand_in);
    return failure;
  }
  // By its number, while that still means the connection: later nobody could take it out of the set any more.
  epoll_ctl(watcher, EPOLL_CTL_DEL, descriptor, NULL);
  dup3(stand_in, descriptor, O_CLOEXEC);
  close(stand_in);
  return taken;
}

void *ct_tls_take(void *wsi) {
  SSL *ssl = lws_get_ssl(wsi);
  if (!ssl) return NULL;
  SSL_up_ref(ssl);
  // libwebsockets says goodbye when it closes; the peer is not to hear it.
  SSL_set_quiet_shutdown(ssl, 1);
  return ssl;
}

void ct_tls_resume(void *connection, int descriptor) {
  SSL *ssl = connection;
  SSL_set_fd(ssl, descriptor);
  SSL_set_shutdown(ssl, 0);
  SSL_set_quiet_shutdown(ssl, 0);
  // One record a read: otherwise records that carry nothing could be sent to keep one read busy.
  SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
  SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
}

void ct_end_of_writing(int descriptor) { shutdown(descriptor, SHUT_WR); }

// ---- one epoll set for all of them

int ct_epoll(void) { return epoll_create1(EPOLL_CLOEXEC); }

static int watch(int set, int operation, int descriptor, uint32_t wanted, uint64_t id) {
  struct epoll_event event = {.data.u64 = id};
  if (wanted & CT_READABLE) event.events |= EPOLLIN;
  if (wanted & CT_WRITABLE) event.events |= EPOLLOUT;
  return epoll_ctl(set, operation, descriptor, &event) ? -errno : 0;
}

int ct_epoll_add(int set, int descriptor, uint32_t wanted, uint64_t id) {
  return watch(set, EPOLL_CTL_ADD, descriptor, wanted, id);
}

int ct_epoll_change(int set, int descriptor, uint32_t wanted, uint64_t id) {
  return watch(set, EPOLL_CTL_MOD, descriptor, wanted, id);
}

int ct_epoll_ready(int set, struct ct_ready *ready, int most) {
  struct epoll_event events[CT_READY_MOST];
  int count = epoll_wait(set, events, most < CT_READY_MOST ? most : CT_READY_MOST, 0);
  for (int i = 0; i < count; i++) {
    ready[i].id = events[i].data.u64;
    ready[i].events = 0;
    if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) ready[i].events |= CT_READABLE;
    if (events[i].events & EPOLLOUT) ready[i].events |= CT_WRITABLE;
  }
  return count < 0 ? 0 : count;
}
