/* The shared page, as Go's package emulator/page documents it. It is read anew
 * at each question and never mapped: the same process may find another page at
 * the same path, when it was forked into another container. */
#ifndef GX_PAGE_H
#define GX_PAGE_H

#include "system.h"

enum { PAGE_SIZE = 16384, HEADER_SIZE = 128, CARD_SIZE = 512, SLOTS = 16, MAX_CARDS = 16, FAULT_LOST = 15 };

struct slot {
	u32 pid, unused;
	u64 bytes;
};

struct card {
	char name[64];
	char uuid[48];
	u64 memory, reserved, cuda_memory;
	char bus[24];
	u32 util, memory_util, temperature, power, power_limit, capability, architecture, fault;
	u32 xid, xids, clock, memory_clock, throttle, ecc, sms, max_clock;
	struct slot slots[SLOTS];
	u64 overflow, operations, peak;
	u32 max_memory_clock, bus_width;
};

struct page {
	char magic[8];
	u32 version, cards;
	char driver[24], nvml[24];
	u32 cuda, unused[15];
	struct card card[MAX_CARDS];
};

_Static_assert(sizeof(struct card) == CARD_SIZE, "a card has 512 bytes");
_Static_assert(__builtin_offsetof(struct page, card) == HEADER_SIZE, "the header has 128 bytes");
_Static_assert(__builtin_offsetof(struct card, util) == 160, "the readings begin at 160");
_Static_assert(__builtin_offsetof(struct card, slots) == 224, "the slots begin at 224");
_Static_assert(__builtin_offsetof(struct card, max_memory_clock) == 504, "the last two numbers begin at 504");

/* page_path finds GX_GPU_PAGE in the environment that the process began with. */
static void page_path(char *path, u32 size) {
	static const char variable[] = "GX_GPU_PAGE=";
	char part[1024];
	u32 matched = 0, filled = 0;
	int matching = 1, taking = 0;
	i64 offset = 0;
	copy(path, size, "/__gx/gpu/page");
	int fd = open_read("/proc/self/environ");
	if (fd < 0) return;
	for (;;) {
		long n = read_at(fd, part, sizeof part, offset);
		if (n <= 0) break;
		offset += n;
		for (long i = 0; i < n; i++) {
			char c = part[i];
			if (taking) {
				if (filled < size) path[filled++] = c;
				if (!c) goto found;
			} else if (!c) {
				matched = 0, matching = 1;
			} else if (matching) {
				matching = c == variable[matched];
				if (matching && !variable[++matched]) taking = 1;
			}
		}
	}
found:
	if (taking) path[filled < size ? filled : size - 1] = 0;
	close_file(fd);
}

/* end_texts sees to it that the page's texts end: any process may write there. */
static void end_texts(struct page *p) {
	p->driver[sizeof p->driver - 1] = p->nvml[sizeof p->nvml - 1] = 0;
	for (int i = 0; i < MAX_CARDS; i++) {
		struct card *c = &p->card[i];
		c->name[sizeof c->name - 1] = c->uuid[sizeof c->uuid - 1] = c->bus[sizeof c->bus - 1] = 0;
	}
}

/* page_load reads the page; 0 = there is none, or it is of another version. */
static int page_load(struct page *p) {
	char path[512];
	page_path(path, sizeof path);
	int fd = open_read(path);
	if (fd < 0) return 0;
	long n = read_at(fd, p, sizeof *p, 0);
	close_file(fd);
	end_texts(p);
	return n == (long)sizeof *p && begins(p->magic, "gxgpu") && p->version == 1 && p->cards >= 1 && p->cards <= MAX_CARDS;
}

/* alive says whether there is such a process here. */
static int alive(u32 pid) {
	char path[32];
	copy(path, sizeof path, "/proc/");
	digits(path + 6, pid);
	return exists(path);
}

/* used is the memory that processes have of a card, in bytes. */
static u64 used(const struct card *c) {
	u64 sum = c->overflow, most = c->memory - c->reserved;
	for (int i = 0; i < SLOTS; i++)
		if (c->slots[i].pid && alive(c->slots[i].pid)) sum += c->slots[i].bytes;
	return sum < most ? sum : most;
}

/* process_name is the program of a process, by its command line. */
static void process_name(u32 pid, char *name, u32 size) {
	char path[40];
	copy(path, sizeof path, "/proc/");
	copy(digits(path + 6, pid), 20, "/cmdline");
	int fd = open_read(path);
	long n = fd < 0 ? 0 : read_at(fd, name, size - 1, 0);
	if (fd >= 0) close_file(fd);
	name[n > 0 ? n : 0] = 0;
	if (!name[0]) copy(name, size, "[Not Found]");
}

/* cores is how many CUDA cores a card has. */
static u32 cores(const struct card *c) {
	u32 major = c->capability >> 8, minor = c->capability & 0xff;
	return c->sms * (major == 7 || (major == 8 && minor == 0) ? 64 : 128);
}

#endif
