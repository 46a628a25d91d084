/* Ping-pong (half round trip) of two processes over one TCP connection on the loopback, with blocking reads and writes: what
 * the tcp backend is measured against. Prints the JSON lines of the other programs, by the same method: a sample is a batch
 * of K round trips, K chosen so that a batch lasts about B_TARGET_S; the median over B_SAMPLES samples. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int line; /* the connection */

static void fail(const char *what) { perror(what); exit(1); }
static double now_s(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec; }
static double env_d(const char *k, double d) { const char *v = getenv(k); return v ? atof(v) : d; }
static int cmp_d(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return (x > y) - (x < y); }

static void put(const void *p, size_t n) {
  for (const char *c = p; n;) {
    ssize_t w = write(line, c, n);
    if (w < 0) { if (errno == EINTR) continue; fail("write"); }
    c += w; n -= (size_t)w;
  }
}
static void get(void *p, size_t n) {
  for (char *c = p; n;) {
    ssize_t r = read(line, c, n);
    if (r < 0) { if (errno == EINTR) continue; fail("read"); }
    if (r == 0) { fprintf(stderr, "the other process is gone\n"); exit(1); }
    c += r; n -= (size_t)r;
  }
}
static void bind_to(int core) { cpu_set_t s; CPU_ZERO(&s); CPU_SET(core, &s); sched_setaffinity(0, sizeof s, &s); }

/* The second process says how many round trips follow, by the first; 0 ends. */
static double batch(int me, char *s, char *r, size_t n, uint64_t k) {
  double t = 0;
  if (me == 0) {
    put(&k, sizeof k);
    t = now_s();
    for (uint64_t i = 0; i < k; i++) { put(s, n); get(r, n); }
    t = now_s() - t;
  } else {
    for (uint64_t i = 0; i < k; i++) { get(r, n); put(s, n); }
  }
  return t;
}

int main(void) {
  static const size_t sizes[] = {8, 1024, 8192, 65536, 1 << 20, 16 << 20};
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  if (listener < 0 || bind(listener, (void *)&at, len) || listen(listener, 1) || getsockname(listener, (void *)&at, &len)) fail("listen");
  pid_t child = fork();
  if (child < 0) fail("fork");
  int me = child == 0;
  bind_to(me % cores);
  if (me == 0) {
    line = accept(listener, NULL, NULL);
  } else {
    line = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(line, (void *)&at, sizeof at)) fail("connect");
  }
  if (line < 0 || setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)) fail("accept");
  double target = env_d("B_TARGET_S", 0.005);
  int samples = (int)env_d("B_SAMPLES", 31);
  double *times = malloc(sizeof *times * (size_t)samples);
  for (size_t q = 0; q < sizeof sizes / sizeof *sizes; q++) {
    size_t n = sizes[q];
    char *s = malloc(n), *r = calloc(1, n);
    for (size_t i = 0; i < n; i++) s[i] = (char)(i * 7 + (size_t)me);
    if (me == 1) {
      for (uint64_t k; get(&k, sizeof k), k;) batch(me, s, r, n, k);
    } else {
      uint64_t k = 1, end = 0;
      batch(me, s, r, n, 3);
      for (;;) {
        double best = 1e9;
        for (int i = 0; i < 3; i++) { double t = batch(me, s, r, n, k); if (t < best) best = t; }
        if (best >= target || k >= 1000000) break;
        uint64_t next = (uint64_t)((double)k * target / (best > 1e-7 ? best : 1e-7) * 1.1) + 1;
        k = next > 16 * k ? 16 * k : next;
      }
      for (int i = 0; i < samples; i++) times[i] = batch(me, s, r, n, k) / (double)k / 2;
      put(&end, sizeof end);
      qsort(times, (size_t)samples, sizeof *times, cmp_d);
      int ok = 1;
      for (size_t i = 0; i < n; i++) ok &= r[i] == (char)(i * 7 + 1);
      printf("{\"bench\":\"pingpong\",\"lib\":\"sockets\",\"case\":\"%zu\",\"variant\":\"sendrecv\",\"mode\":\"hot\",\"med_us\":%.4f,\"min_us\":%.4f,\"bytes\":%zu,\"ok\":%s}\n",
             n, times[samples / 2] * 1e6, times[0] * 1e6, n, ok ? "true" : "false");
    }
    free(s); free(r);
  }
  if (me == 1) _exit(0);
  int status;
  return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}
