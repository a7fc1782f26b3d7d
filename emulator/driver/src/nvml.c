/* libnvidia-ml.so.1 for emulated cards: what NVML answers, from the shared page.
 * The functions' types and numbers are those of NVIDIA's nvml.h; the functions
 * that are not here answer "not supported", see stubs.h. */
#include "page.h"

#define NVML __attribute__((visibility("default")))
#define ALIAS(name) __attribute__((visibility("default"), alias(#name)))

enum result { OK, UNINITIALIZED, INVALID, UNSUPPORTED, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9, TIMED_OUT = 10, LOST = 15, UNKNOWN = 999 };

typedef struct device *device;
struct device { u32 index; };
static struct device devices[MAX_CARDS] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {15}};
static int initialised;

/* look reads the page for a question about a card. */
static int look(device d, struct page *p, struct card **c) {
	if (!initialised) return UNINITIALIZED;
	if (!page_load(p)) return UNKNOWN;
	if (d < devices || d >= devices + p->cards) return INVALID;
	*c = &p->card[d->index];
	return (*c)->fault == FAULT_LOST ? LOST : OK;
}

/* A question about a card, whose answer is at one or more addresses. */
#define LOOK(d, target)                       \
	struct page page;                         \
	struct card *card;                        \
	int failed = look(d, &page, &card);       \
	if (failed) return failed;                \
	if (!(target)) return INVALID

/* A question whose answer is one number. */
#define NUMBER(name, type, value)   \
	NVML int name(device d, type *to) { \
		LOOK(d, to);                \
		(void)card;                 \
		*to = (type)(value);        \
		return OK;                  \
	}

static int give(char *to, u32 size, const char *text) {
	if (!to) return INVALID;
	return copy(to, size, text) ? OK : TOO_SMALL;
}

NVML int nvmlInit_v2(void) {
	struct page p;
	if (!page_load(&p)) return NO_DRIVER;
	__atomic_add_fetch(&initialised, 1, __ATOMIC_SEQ_CST);
	return OK;
}
int nvmlInit(void) ALIAS(nvmlInit_v2);
NVML int nvmlInitWithFlags(u32 flags) {
	(void)flags;
	return nvmlInit_v2();
}
NVML int nvmlShutdown(void) {
	if (!initialised) return UNINITIALIZED;
	__atomic_sub_fetch(&initialised, 1, __ATOMIC_SEQ_CST);
	return OK;
}

NVML const char *nvmlErrorString(int e) {
	switch (e) {
	case 0: return "Success";
	case 1: return "Uninitialized";
	case 2: return "Invalid Argument";
	case 3: return "Not Supported";
	case 4: return "Insufficient Permissions";
	case 6: return "Not Found";
	case 7: return "Insufficient Size";
	case 9: return "Driver Not Loaded";
	case 10: return "Timeout";
	case 12: return "NVML Shared Library Not Found";
	case 13: return "Function Not Found";
	case 15: return "GPU is lost";
	}
	return "Unknown Error";
}

NVML int nvmlSystemGetDriverVersion(char *to, u32 size) {
	struct page p;
	if (!initialised) return UNINITIALIZED;
	return page_load(&p) ? give(to, size, p.driver) : UNKNOWN;
}
NVML int nvmlSystemGetNVMLVersion(char *to, u32 size) {
	struct page p;
	if (!initialised) return UNINITIALIZED;
	return page_load(&p) ? give(to, size, p.nvml) : UNKNOWN;
}
NVML int nvmlSystemGetCudaDriverVersion_v2(int *to) {
	struct page p;
	if (!to) return INVALID;
	if (!page_load(&p)) return UNKNOWN;
	*to = (int)p.cuda;
	return OK;
}
int nvmlSystemGetCudaDriverVersion(int *) ALIAS(nvmlSystemGetCudaDriverVersion_v2);
NVML int nvmlSystemGetProcessName(u32 pid, char *to, u32 size) {
	if (!initialised) return UNINITIALIZED;
	if (!to || !size) return INVALID;
	if (!alive(pid)) return NOT_FOUND;
	process_name(pid, to, size);
	return OK;
}

NVML int nvmlUnitGetCount(u32 *to) {
	if (!to) return INVALID;
	*to = 0;
	return OK;
}
NVML int nvmlDeviceGetCount_v2(u32 *to) {
	struct page p;
	if (!initialised) return UNINITIALIZED;
	if (!to) return INVALID;
	if (!page_load(&p)) return UNKNOWN;
	*to = p.cards;
	return OK;
}
int nvmlDeviceGetCount(u32 *) ALIAS(nvmlDeviceGetCount_v2);

static int handle(const struct page *p, u32 i, device *to) {
	if (p->card[i].fault == FAULT_LOST) return LOST;
	*to = &devices[i];
	return OK;
}
NVML int nvmlDeviceGetHandleByIndex_v2(u32 i, device *to) {
	struct page p;
	if (!initialised) return UNINITIALIZED;
	if (!page_load(&p)) return UNKNOWN;
	return to && i < p.cards ? handle(&p, i, to) : INVALID;
}
int nvmlDeviceGetHandleByIndex(u32, device *) ALIAS(nvmlDeviceGetHandleByIndex_v2);
NVML int nvmlDeviceGetHandleByUUID(const char *uuid, device *to) {
	struct page p;
	if (!initialised) return UNINITIALIZED;
	if (!uuid || !to) return INVALID;
	if (!page_load(&p)) return UNKNOWN;
	for (u32 i = 0; i < p.cards; i++)
		if (same_any_case(uuid, p.card[i].uuid)) return handle(&p, i, to);
	return NOT_FOUND;
}
/* A bus id may be given with a domain of four digits. */
static int same_bus(const char *given, const char *bus) { return same_any_case(given, bus) || same_any_case(given, bus + 4); }
NVML int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, device *to) {
	struct page p;
	if (!initialised) return UNINITIALIZED;
	if (!bus || !to) return INVALID;
	if (!page_load(&p)) return UNKNOWN;
	for (u32 i = 0; i < p.cards; i++)
		if (same_bus(bus, p.card[i].bus)) return handle(&p, i, to);
	return NOT_FOUND;
}
int nvmlDeviceGetHandleByPciBusId(const char *, device *) ALIAS(nvmlDeviceGetHandleByPciBusId_v2);

NVML int nvmlDeviceGetName(device d, char *to, u32 size) {
	LOOK(d, to);
	return give(to, size, card->name);
}
NVML int nvmlDeviceGetUUID(device d, char *to, u32 size) {
	LOOK(d, to);
	return give(to, size, card->uuid);
}
NVML int nvmlDeviceGetVbiosVersion(device d, char *to, u32 size) {
	LOOK(d, to);
	return give(to, size, "92.00.45.00.03");
}
NUMBER(nvmlDeviceGetIndex, u32, d->index)
NUMBER(nvmlDeviceGetMinorNumber, u32, d->index)
NUMBER(nvmlDeviceGetBoardId, u32, (d->index + 1) << 8)
NUMBER(nvmlDeviceGetBrand, u32, begins(card->name, "Tesla") ? 2 : 14)
NUMBER(nvmlDeviceGetArchitecture, u32, card->architecture)
NUMBER(nvmlDeviceGetNumGpuCores, u32, cores(card))
NUMBER(nvmlDeviceGetMemoryBusWidth, u32, card->bus_width)
NUMBER(nvmlDeviceGetComputeMode, u32, 0)
NUMBER(nvmlDeviceGetPersistenceMode, u32, 1)
NUMBER(nvmlDeviceGetDisplayMode, u32, 0)
NUMBER(nvmlDeviceGetDisplayActive, u32, 0)
NUMBER(nvmlDeviceGetMultiGpuBoard, u32, 0)
NUMBER(nvmlDeviceGetVirtualizationMode, u32, 0)
NUMBER(nvmlDeviceIsMigDeviceHandle, u32, 0)
NUMBER(nvmlDeviceGetMaxMigDeviceCount, u32, 0)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, u32, 4)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, u32, 16)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, u32, 4)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, u32, 16)
NUMBER(nvmlDeviceGetPowerUsage, u32, card->power)
NUMBER(nvmlDeviceGetPowerManagementMode, u32, 1)
NUMBER(nvmlDeviceGetPowerManagementLimit, u32, card->power_limit)
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, u32, card->power_limit)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, u32, card->power_limit)
NUMBER(nvmlDeviceGetPerformanceState, u32, card->util ? 0 : 8)
NUMBER(nvmlDeviceGetPowerState, u32, card->util ? 0 : 8)
NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, u64, card->throttle ? card->throttle : !card->util)
NUMBER(nvmlDeviceGetCurrentClocksEventReasons, u64, card->throttle ? card->throttle : !card->util)
NUMBER(nvmlDeviceGetSupportedClocksThrottleReasons, u64, 0x1ff)
NUMBER(nvmlDeviceGetSupportedClocksEventReasons, u64, 0x1ff)
NUMBER(nvmlDeviceGetSupportedEventTypes, u64, 0x8)
NVML int nvmlDeviceGetPowerManagementLimitConstraints(device d, u32 *least, u32 *most) {
	LOOK(d, least && most);
	*least = card->power_limit / 4, *most = card->power_limit;
	return OK;
}
NVML int nvmlDeviceGetCudaComputeCapability(device d, int *major, int *minor) {
	LOOK(d, major && minor);
	*major = card->capability >> 8, *minor = card->capability & 0xff;
	return OK;
}
NVML int nvmlDeviceGetTemperature(device d, u32 sensor, u32 *to) {
	LOOK(d, to);
	if (sensor) return INVALID;
	*to = card->temperature;
	return OK;
}
NVML int nvmlDeviceGetTemperatureThreshold(device d, u32 kind, u32 *to) {
	LOOK(d, to);
	if (kind > 1) return UNSUPPORTED;
	*to = kind ? 85 : 90;
	return OK;
}
static int clock_of(device d, u32 kind, u32 *to, int most) {
	LOOK(d, to);
	switch (kind) {
	case 0: case 1: case 3: *to = most ? card->max_clock : card->clock; return OK;
	case 2: *to = most ? card->max_memory_clock : card->memory_clock; return OK;
	}
	return INVALID;
}
NVML int nvmlDeviceGetClockInfo(device d, u32 kind, u32 *to) { return clock_of(d, kind, to, 0); }
NVML int nvmlDeviceGetMaxClockInfo(device d, u32 kind, u32 *to) { return clock_of(d, kind, to, 1); }
NVML int nvmlDeviceGetApplicationsClock(device d, u32 kind, u32 *to) { return clock_of(d, kind, to, 1); }
NVML int nvmlDeviceGetClock(device d, u32 kind, u32 id, u32 *to) { return clock_of(d, kind, to, id != 0); }
NVML int nvmlDeviceGetMaxCustomerBoostClock(device d, u32 kind, u32 *to) { return clock_of(d, kind, to, 1); }

struct memory { u64 total, free, used; };
struct memory_v2 { u32 version; u64 total, reserved, free, used; };
NVML int nvmlDeviceGetMemoryInfo(device d, struct memory *to) {
	LOOK(d, to);
	to->total = card->memory;
	to->free = card->memory - card->reserved - used(card);
	to->used = to->total - to->free;
	return OK;
}
NVML int nvmlDeviceGetMemoryInfo_v2(device d, struct memory_v2 *to) {
	LOOK(d, to);
	to->total = card->memory, to->reserved = card->reserved, to->used = used(card);
	to->free = to->total - to->reserved - to->used;
	return OK;
}
NVML int nvmlDeviceGetBAR1MemoryInfo(device d, struct memory *to) {
	LOOK(d, to);
	to->total = 256 << 20, to->used = 2 << 20, to->free = to->total - to->used;
	return OK;
}
struct utilization { u32 gpu, memory; };
NVML int nvmlDeviceGetUtilizationRates(device d, struct utilization *to) {
	LOOK(d, to);
	to->gpu = card->util, to->memory = card->memory_util;
	return OK;
}
static int idle_engine(device d, u32 *share, u32 *period) {
	LOOK(d, share && period);
	*share = 0, *period = 1000000;
	return OK;
}
NVML int nvmlDeviceGetEncoderUtilization(device d, u32 *share, u32 *period) { return idle_engine(d, share, period); }
NVML int nvmlDeviceGetDecoderUtilization(device d, u32 *share, u32 *period) { return idle_engine(d, share, period); }
NVML int nvmlDeviceGetPcieThroughput(device d, u32 counter, u32 *to) {
	LOOK(d, to);
	(void)counter;
	*to = 0;
	return OK;
}

struct pci {
	char legacy[16];
	u32 domain, bus, device, id, subsystem;
	char bus_id[32];
};
static u32 hex(const char *s, u32 n) {
	u32 v = 0;
	while (n--) {
		char c = lower(*s++);
		v = v * 16 + (u32)(c >= 'a' ? c - 'a' + 10 : c - '0');
	}
	return v;
}
NVML int nvmlDeviceGetPciInfo_v3(device d, struct pci *to) {
	LOOK(d, to);
	memset(to, 0, sizeof *to);
	copy(to->legacy, sizeof to->legacy, card->bus + 4);
	copy(to->bus_id, sizeof to->bus_id, card->bus);
	to->domain = hex(card->bus, 8), to->bus = hex(card->bus + 9, 2), to->device = hex(card->bus + 12, 2);
	to->id = 0x10DE;
	return OK;
}
int nvmlDeviceGetPciInfo_v2(device, struct pci *) ALIAS(nvmlDeviceGetPciInfo_v3);
/* The oldest form ends before bus_id. */
NVML int nvmlDeviceGetPciInfo(device d, struct pci *to) {
	struct pci all;
	if (!to) return INVALID;
	int failed = nvmlDeviceGetPciInfo_v3(d, &all);
	if (!failed) memcpy(to, &all, __builtin_offsetof(struct pci, bus_id));
	return failed;
}

NVML int nvmlDeviceGetEccMode(device d, u32 *current, u32 *pending) {
	LOOK(d, current && pending);
	*current = *pending = 1;
	return OK;
}
NVML int nvmlDeviceGetTotalEccErrors(device d, u32 kind, u32 counter, u64 *to) {
	LOOK(d, to);
	(void)counter;
	*to = kind ? card->ecc : 0; /* corrected ones there are none */
	return OK;
}
NVML int nvmlDeviceGetMigMode(device d, u32 *current, u32 *pending) {
	LOOK(d, current && pending);
	if (card->architecture < 7 || card->bus_width < 5120) return UNSUPPORTED;
	*current = *pending = 0;
	return OK;
}

struct process_v1 { u32 pid; u64 bytes; };
struct process_v2 { u32 pid; u64 bytes; u32 gpu_instance, compute_instance; };
static int processes(device d, u32 *count, void *list, int old) {
	LOOK(d, count);
	u32 n = 0, room = list ? *count : 0;
	for (int i = 0; i < SLOTS; i++) {
		const struct slot *s = &card->slots[i];
		if (!s->pid || !alive(s->pid)) continue;
		if (n < room && old) ((struct process_v1 *)list)[n] = (struct process_v1){s->pid, s->bytes};
		if (n < room && !old) ((struct process_v2 *)list)[n] = (struct process_v2){s->pid, s->bytes, ~0u, ~0u};
		n++;
	}
	*count = n;
	return n > room ? TOO_SMALL : OK;
}
NVML int nvmlDeviceGetComputeRunningProcesses(device d, u32 *n, void *list) { return processes(d, n, list, 1); }
NVML int nvmlDeviceGetComputeRunningProcesses_v2(device d, u32 *n, void *list) { return processes(d, n, list, 0); }
int nvmlDeviceGetComputeRunningProcesses_v3(device, u32 *, void *) ALIAS(nvmlDeviceGetComputeRunningProcesses_v2);
NVML int nvmlDeviceGetGraphicsRunningProcesses(device d, u32 *n, void *list) {
	LOOK(d, n);
	(void)list;
	*n = 0;
	return OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v2(device, u32 *, void *) ALIAS(nvmlDeviceGetGraphicsRunningProcesses);
int nvmlDeviceGetGraphicsRunningProcesses_v3(device, u32 *, void *) ALIAS(nvmlDeviceGetGraphicsRunningProcesses);
int nvmlDeviceGetMPSComputeRunningProcesses(device, u32 *, void *) ALIAS(nvmlDeviceGetGraphicsRunningProcesses);
int nvmlDeviceGetMPSComputeRunningProcesses_v2(device, u32 *, void *) ALIAS(nvmlDeviceGetGraphicsRunningProcesses);
int nvmlDeviceGetMPSComputeRunningProcesses_v3(device, u32 *, void *) ALIAS(nvmlDeviceGetGraphicsRunningProcesses);

/* Event sets: of all kinds of events, Xid errors alone happen here. */
typedef struct set *set;
struct set {
	int taken;
	u32 cards;            /* bits */
	u32 seen[MAX_CARDS];  /* Xid errors that were told */
};
static struct set sets[64];
struct event {
	device device;
	u64 type, data;
	u32 gpu_instance, compute_instance;
};
static int is_set(set s) { return s >= sets && s < sets + 64 && s->taken; }

NVML int nvmlEventSetCreate(set *to) {
	if (!initialised) return UNINITIALIZED;
	if (!to) return INVALID;
	for (int i = 0; i < 64; i++) {
		int no = 0;
		if (!__atomic_compare_exchange_n(&sets[i].taken, &no, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) continue;
		sets[i].cards = 0;
		*to = &sets[i];
		return OK;
	}
	return UNKNOWN;
}
NVML int nvmlDeviceRegisterEvents(device d, u64 types, set s) {
	LOOK(d, is_set(s));
	if (types & ~0x1full) return UNSUPPORTED;
	if (types & 8) {
		s->cards |= 1u << d->index;
		s->seen[d->index] = card->xids;
	}
	return OK;
}
static int wait_for(set s, struct event *to, u32 milliseconds) {
	if (!initialised) return UNINITIALIZED;
	if (!is_set(s) || !to) return INVALID;
	struct when began = now(1);
	for (;;) {
		struct page p;
		if (!page_load(&p)) return UNKNOWN;
		for (u32 i = 0; i < p.cards; i++) {
			if (!(s->cards >> i & 1) || s->seen[i] == p.card[i].xids) continue;
			s->seen[i] = p.card[i].xids;
			*to = (struct event){&devices[i], 8, p.card[i].xid, ~0u, ~0u};
			return OK;
		}
		struct when w = now(1);
		i64 passed = (w.seconds - began.seconds) * 1000 + (w.nanoseconds - began.nanoseconds) / 1000000;
		if (passed >= milliseconds) return TIMED_OUT;
		pause_for(milliseconds - passed < 20 ? milliseconds - passed : 20);
	}
}
NVML int nvmlEventSetWait_v2(set s, struct event *to, u32 milliseconds) { return wait_for(s, to, milliseconds); }
NVML int nvmlEventSetWait(set s, void *to, u32 milliseconds) {
	struct event all;
	if (!to) return INVALID;
	int failed = wait_for(s, &all, milliseconds);
	if (!failed) memcpy(to, &all, __builtin_offsetof(struct event, gpu_instance));
	return failed;
}
NVML int nvmlEventSetFree(set s) {
	if (!is_set(s)) return INVALID;
	__atomic_store_n(&s->taken, 0, __ATOMIC_SEQ_CST);
	return OK;
}

/* Everything else that nvml.h declares: a caller that binds lazily must not die
 * of a symbol that is missing. */
#define STUB(name) \
	NVML int name(void) { return UNSUPPORTED; }
#include "stubs.h"
