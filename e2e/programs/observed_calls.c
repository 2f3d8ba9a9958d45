/* Makes system calls, so that it can be told what those cost that watch them.
 *
 *   observed_calls time CALL COUNT CPU
 *
 * makes so many calls on a CPU, and prints the nanoseconds of processor time of one: those of all
 * divided by how many they were, and the same of the quickest hundredth.
 *
 *   observed_calls stay
 *
 * makes a few calls that RuntimeDefault denies, says so in a line, and sleeps for ever; with "leave"
 * it ends there.
 *
 *   observed_calls storm SECONDS THREADS
 *
 * makes calls that RuntimeDefault denies, hardly ever the same twice, as fast as it can, and prints
 * how many they were. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* No operation of keyctl has this number, so the call is over at once. */
#define NO_OPERATION 999
/* Address families that Linux has are below it: for those, modules would be loaded. */
#define FAMILIES 64
#define MOST_THREADS 64
#define PARTS 100

static double seconds_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Two calls that no RuntimeDefault denies. On x86 the number of the first is of a harmless call for
 * programs of 32 bits as well; that of the second is not. */
static void getpid_call(void) { syscall(SYS_getpid); }
static void getppid_call(void) { syscall(SYS_getppid); }

/* A call that every RuntimeDefault denies to a container without more capabilities. */
static void keyctl_call(void) { syscall(SYS_keyctl, NO_OPERATION, 0, 0, 0, 0); }

/* Two calls, of which the first is told apart by its arguments. */
static void socket_call(void) {
  int socket = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
  syscall(SYS_close, socket);
}

static void *nothing(void *argument) { return argument; }

/* Of its calls, clone3 is told apart by what lies in the program's memory. */
static void thread_call(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, nothing, NULL) != 0)
    exit(1);
  pthread_join(thread, NULL);
}

static const struct {
  const char *name;
  void (*make)(void);
} calls[] = {
    {"getpid", getpid_call},
    {"getppid", getppid_call},
    {"keyctl", keyctl_call},
    {"socket+close", socket_call},
    {"thread", thread_call},
};

static int time_calls(const char *name, long count, int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  if (sched_setaffinity(0, sizeof cpus, &cpus) != 0)
    return 1;
  for (size_t at = 0; at < sizeof calls / sizeof *calls; at++) {
    if (strcmp(calls[at].name, name) != 0)
      continue;
    double all = 0, quickest = 1e9;
    for (long part = 0; part < PARTS; part++) {
      double began = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
      for (long call = 0; call < count / PARTS; call++)
        calls[at].make();
      double part_seconds = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - began;
      all += part_seconds;
      if (part_seconds < quickest)
        quickest = part_seconds;
    }
    double part_calls = (double)(count / PARTS);
    printf("%.2f %.2f\n", all * 1e9 / (part_calls * PARTS), quickest * 1e9 / part_calls);
    return 0;
  }
  return 2;
}

static int make_few(int stays) {
  for (int operation = 0; operation < 3; operation++)
    syscall(SYS_keyctl, NO_OPERATION + operation, 0, 0, 0, 0);
  syscall(SYS_socket, FAMILIES, SOCK_STREAM, 0);
  printf("made\n");
  fflush(stdout);
  while (stays)
    pause();
  return 0;
}

static double storm_ends;

struct storm {
  pthread_t thread;
  uint64_t random;
  uint64_t made;
};

/* Xorshift, which is quick. */
static uint64_t next_random(struct storm *storm) {
  storm->random ^= storm->random << 13;
  storm->random ^= storm->random >> 7;
  storm->random ^= storm->random << 17;
  return storm->random;
}

static void *make_storm(void *argument) {
  struct storm *storm = argument;
  while (seconds_of(CLOCK_MONOTONIC) < storm_ends) {
    for (int call = 0; call < 64; call++) {
      /* Bits of personality(2) that mean nothing; even ones, for zero is let through. */
      syscall(SYS_personality, (uint32_t)(next_random(storm) << 8 | 0x40) & 0x00ffffc0);
      syscall(SYS_socket, (uint32_t)(next_random(storm) >> 33) + FAMILIES, SOCK_STREAM, 0);
    }
    storm->made += 128;
  }
  return NULL;
}

static int storm(double seconds, int threads) {
  static struct storm storms[MOST_THREADS];
  if (threads < 1 || threads > MOST_THREADS)
    return 2;
  storm_ends = seconds_of(CLOCK_MONOTONIC) + seconds;
  for (int at = 0; at < threads; at++) {
    storms[at].random = 0x9e3779b97f4a7c15u * (uint64_t)(at + 1);
    if (pthread_create(&storms[at].thread, NULL, make_storm, &storms[at]) != 0)
      return 1;
  }
  uint64_t made = 0;
  for (int at = 0; at < threads; at++) {
    pthread_join(storms[at].thread, NULL);
    made += storms[at].made;
  }
  printf("%llu\n", (unsigned long long)made);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "time") == 0)
    return time_calls(argv[2], atol(argv[3]), atoi(argv[4]));
  if (argc == 2 && strcmp(argv[1], "stay") == 0)
    return make_few(1);
  if (argc == 2 && strcmp(argv[1], "leave") == 0)
    return make_few(0);
  if (argc == 4 && strcmp(argv[1], "storm") == 0)
    return storm(atof(argv[2]), atoi(argv[3]));
  fprintf(stderr, "usage: observed_calls time CALL COUNT CPU | stay | leave | storm SECONDS THREADS\n");
  return 2;
}
