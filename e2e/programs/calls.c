/* Makes one system call that RuntimeDefault of containerd denies to a container without more
 * capabilities than it has by itself, and that succeeds there without a profile.
 *
 *   calls CALL MANNER
 *
 * The manner says what the call is to the program, which sleeps for ever where it is well:
 *
 *   needs      it exits with 1 when the call fails
 *   tolerates  it is well either way
 *   leads      it needs the call if it is the leader: the first to come to the folder /shared
 *   fails      it exits with 1 either way
 *
 * How the call went is printed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_BYTES 256

static int said(const char *call, int failed) {
  printf("%s: %s\n", call, failed ? strerror(errno) : "done");
  fflush(stdout);
  return failed;
}

/* As programs that keep secrets in the kernel do. */
static int keyctl(void) {
  long keyring = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1);
  return said("keyctl(KEYCTL_GET_KEYRING_ID)", keyring < 0);
}

/* As databases and runtimes that do their I/O by it. */
static int io_uring(void) {
  struct io_uring_params params = {0};
  return said("io_uring_setup", syscall(SYS_io_uring_setup, 1, &params) < 0);
}

/* As builders of images do, without a right to mount anything outside of their own namespace. */
static int mount_own(void) {
  if (said("unshare(CLONE_NEWUSER | CLONE_NEWNS)", unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0))
    return 1;
  return said("mount", mount("none", "/tmp", "tmpfs", 0, NULL) != 0);
}

/* As debuggers do, so that addresses are the same in every run. */
static int no_randomization(void) {
  return said("personality(ADDR_NO_RANDOMIZE)", personality(ADDR_NO_RANDOMIZE) == -1);
}

/* Whether this container is the leader, also when it is started anew: the first to come writes its
 * host name, which is its pod's name. */
static int leads(void) {
  char own[NAME_BYTES] = "", leader[NAME_BYTES] = "";
  gethostname(own, sizeof own - 1);
  int file = open("/shared/leader", O_CREAT | O_EXCL | O_WRONLY, 0600);
  if (file >= 0)
    return write(file, own, strlen(own)) == (ssize_t)strlen(own);
  file = open("/shared/leader", O_RDONLY);
  if (file < 0 || read(file, leader, sizeof leader - 1) < 0)
    return 0;
  return strcmp(own, leader) == 0;
}

static const struct {
  const char *name;
  int (*make)(void);
} calls[] = {
    {"keyctl", keyctl},
    {"io_uring", io_uring},
    {"mount", mount_own},
    {"personality", no_randomization},
};

int main(int count, char **arguments) {
  const char *manner = count == 3 ? arguments[2] : "";
  int needs = strcmp(manner, "needs") == 0, fails = strcmp(manner, "fails") == 0;
  int tolerates = strcmp(manner, "tolerates") == 0, may_lead = strcmp(manner, "leads") == 0;
  if (!needs && !fails && !tolerates && !may_lead) {
    fprintf(stderr, "usage: calls CALL needs|tolerates|leads|fails\n");
    return 2;
  }
  if (!may_lead || leads()) {
    size_t chosen = 0, known = sizeof calls / sizeof *calls;
    while (chosen < known && strcmp(calls[chosen].name, arguments[1]) != 0)
      chosen++;
    if (chosen == known) {
      fprintf(stderr, "calls: no such call: %s\n", arguments[1]);
      return 2;
    }
    if ((calls[chosen].make() && !tolerates) || fails)
      return 1;
  }
  for (;;)
    pause();
}
