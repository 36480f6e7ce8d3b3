#define _GNU_SOURCE
#include "ctransport.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// ---- what one process hands to the one that takes its place

int ct_handover_pair(int pair[2]) {
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ? -errno : 0;
}

static int wait_for(int socket, short events, int most_ms) {
  struct pollfd wanted = {.fd = socket, .events = events};
  int ready;
  do ready = poll(&wanted, 1, most_ms);
  while (ready < 0 && errno == EINTR);
  return ready > 0 ? 0 : ready == 0 ? -ETIMEDOUT : -errno;
}

long ct_send_descriptors(int socket, const void *bytes, size_t count, const int *descriptors, size_t number, int most_ms) {
  union {
    char room[CMSG_SPACE(sizeof(int) * CT_DESCRIPTORS_MOST)];
    struct cmsghdr align;
  } control;
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (number > CT_DESCRIPTORS_MOST) return -EINVAL;
  if (number > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * number);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * number);
    memcpy(CMSG_DATA(head), descriptors, sizeof(int) * number);
  }
  for (;;) {
    long sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return -errno;
    int failure = wait_for(socket, POLLOUT, most_ms);
    if (failure) return failure;
  }
}

long ct_receive_descriptors(int socket, void *bytes, size_t count, int *descriptors, size_t *number, int most_ms) {
  union {
    char room[CMSG_SPACE(sizeof(int) * CT_DESCRIPTORS_MOST)];
    struct cmsghdr align;
  } control;
  struct iovec part = {.iov_base = bytes, .iov_len = count};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  *number = 0;
  int failure = wait_for(socket, POLLIN, most_ms);
  if (failure) return failure;
  long received;
  do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    *number = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(descriptors, CMSG_DATA(head), sizeof(int) * *number);
  }
  return received == 0 ? -EPIPE : received;
}

int ct_spawn(const char *path, char *const arguments[], char *const environment[], int kept, int as) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none, usual;
  pid_t child = 0;
  sigemptyset(&none);
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  // dup2 onto itself would leave the descriptor to be closed; glibc's takes the flag off then.
  posix_spawn_file_actions_adddup2(&actions, kept, as);
  posix_spawn_file_actions_addclosefrom_np(&actions, as + 1);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  int failure = posix_spawn(&child, path, &actions, &attributes, arguments, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return failure ? -failure : child;
}
