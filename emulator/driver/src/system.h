/* What both programs need of the operating system, without a libc: the kernel's
 * calls, and a little of what a libc has for strings. */
#ifndef GX_SYSTEM_H
#define GX_SYSTEM_H

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#if defined(__x86_64__)
enum { SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_pread64 = 17, SYS_nanosleep = 35, SYS_clock_gettime = 228, SYS_exit_group = 231, SYS_openat = 257, SYS_faccessat = 269 };
static inline long syscall4(long n, long a, long b, long c, long d) {
	long r;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return r;
}
#elif defined(__aarch64__)
enum { SYS_faccessat = 48, SYS_openat = 56, SYS_close = 57, SYS_read = 63, SYS_write = 64, SYS_pread64 = 67, SYS_exit_group = 94, SYS_nanosleep = 101, SYS_clock_gettime = 113 };
static inline long syscall4(long n, long a, long b, long c, long d) {
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
#else
#error "no such architecture"
#endif

enum { AT_CWD = -100, O_CLOSE_ON_EXEC = 02000000 };

static inline int open_read(const char *path) { return (int)syscall4(SYS_openat, AT_CWD, (long)path, O_CLOSE_ON_EXEC, 0); }
static inline long read_at(int fd, void *to, u64 size, i64 offset) { return syscall4(SYS_pread64, fd, (long)to, (long)size, offset); }
static inline void close_file(int fd) { syscall4(SYS_close, fd, 0, 0, 0); }
static inline int exists(const char *path) { return syscall4(SYS_faccessat, AT_CWD, (long)path, 0, 0) == 0; }

struct when { i64 seconds, nanoseconds; };
static inline void pause_for(i64 milliseconds) {
	struct when w = {milliseconds / 1000, milliseconds % 1000 * 1000000};
	syscall4(SYS_nanosleep, (long)&w, 0, 0, 0);
}
static inline struct when now(int clock) { /* 0 = of the day, 1 = that only goes on */
	struct when w = {0, 0};
	syscall4(SYS_clock_gettime, clock, (long)&w, 0, 0);
	return w;
}

/* The compiler makes calls to these two by itself. */
#define HIDDEN __attribute__((visibility("hidden"), used))
HIDDEN void *memcpy(void *to, const void *from, unsigned long n) {
	u8 *t = to;
	const u8 *f = from;
	while (n--) *t++ = *f++;
	return to;
}
HIDDEN void *memset(void *to, int c, unsigned long n) {
	u8 *t = to;
	while (n--) *t++ = (u8)c;
	return to;
}

static inline u32 length(const char *s) {
	u32 n = 0;
	while (s[n]) n++;
	return n;
}
static inline int same(const char *a, const char *b) {
	while (*a && *a == *b) a++, b++;
	return *a == *b;
}
static inline int begins(const char *s, const char *with) {
	while (*with) if (*s++ != *with++) return 0;
	return 1;
}
/* copy puts s into a buffer, with its end; 0 = it does not fit. */
static inline int copy(char *to, u32 size, const char *s) {
	u32 n = length(s);
	if (n >= size) return 0;
	memcpy(to, s, n + 1);
	return 1;
}
static inline char lower(char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }
static inline int same_any_case(const char *a, const char *b) {
	while (*a && lower(*a) == lower(*b)) a++, b++;
	return lower(*a) == lower(*b);
}
/* digits writes a number, and returns what follows it. */
static inline char *digits(char *to, u64 n) {
	char rev[20];
	int i = 0;
	do rev[i++] = '0' + n % 10; while (n /= 10);
	while (i) *to++ = rev[--i];
	*to = 0;
	return to;
}

#endif
