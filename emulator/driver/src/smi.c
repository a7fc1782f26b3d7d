/* nvidia-smi for emulated cards: the table, -L, -q and the queries that scripts
 * make, from the shared page. What it does not know it refuses by name. */
#include "page.h"

static struct page page;
static u32 chosen[MAX_CARDS], many; /* the cards that -i names, or all */

/* Output goes through one buffer. */
static char out[8192];
static u32 filled;
static void flush(void) {
	u32 done = 0;
	while (done < filled) {
		long n = syscall4(SYS_write, 1, (long)(out + done), filled - done, 0);
		if (n <= 0) break;
		done += n;
	}
	filled = 0;
}
static void put(char c) {
	if (filled == sizeof out) flush();
	out[filled++] = c;
}
static void text(const char *s) { while (*s) put(*s++); }
static void quit(int code) {
	flush();
	for (;;) syscall4(SYS_exit_group, code, 0, 0, 0);
}

/* say writes a format with %s, %d (u64), %% and a width, also -width. */
static void say(const char *f, ...) {
	__builtin_va_list args;
	__builtin_va_start(args, f);
	for (; *f; f++) {
		if (*f != '%') {
			put(*f);
			continue;
		}
		int left = 0, zero = 0, width = 0;
		if (*++f == '-') left = 1, f++;
		if (*f == '0') zero = 1;
		while (*f >= '0' && *f <= '9') width = width * 10 + *f++ - '0';
		char number[24];
		const char *s = "%";
		if (*f == 's') s = __builtin_va_arg(args, const char *);
		if (*f == 'd') digits(number, __builtin_va_arg(args, u64)), s = number;
		int pad = width - (int)length(s);
		while (!left && pad-- > 0) put(zero ? '0' : ' ');
		text(s);
		while (left && pad-- > 0) put(' ');
	}
	__builtin_va_end(args);
}

static u64 mib(u64 bytes) { return bytes >> 20; }

/* The time of day, in UTC; days since 1970 become a date as in Howard Hinnant's
 * civil_from_days. */
static void date(char *to) {
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec", days[] = "ThuFriSatSunMonTueWed";
	i64 seconds = now(0).seconds, day = seconds / 86400, second = seconds % 86400;
	i64 z = day + 719468, era = z / 146097, of_era = z - era * 146097;
	i64 year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	i64 of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	i64 mp = (5 * of_year + 2) / 153, month = mp < 10 ? mp + 3 : mp - 9;
	memcpy(to, days + day % 7 * 3, 3);
	to[3] = ' ';
	memcpy(to + 4, names + (month - 1) * 3, 3);
	to[7] = ' ';
	u64 parts[] = {(u64)(of_year - (153 * mp + 2) / 5 + 1), (u64)second / 3600, (u64)second / 60 % 60, (u64)second % 60};
	static const char after[] = " :: ";
	char *at = to + 8;
	for (int i = 0; i < 4; i++) {
		if (parts[i] < 10) *at++ = i ? '0' : ' ';
		at = digits(at, parts[i]);
		*at++ = after[i];
	}
	digits(at, (u64)(year_of_era + era * 400 + (month <= 2)));
}

static const char *const rule = "+-----------------------------------------------------------------------------------------+\n";
static const char *const columns = "+-----------------------------------------+------------------------+----------------------+\n";

static void version(u32 cuda, char *to) {
	char *at = digits(to, cuda / 1000);
	*at++ = '.';
	digits(at, cuda % 1000 / 10);
}

static int has_mig(const struct card *c) { return c->architecture >= 7 && c->bus_width >= 5120; }

static void table(void) {
	char when[40], cuda[16], line[64], part[32];
	date(when);
	version(page.cuda, cuda);
	say("%s\n%s", when, rule);
	say("| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %-9s|\n", page.driver, page.driver, cuda);
	text("|-----------------------------------------+------------------------+----------------------+\n"
	     "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |\n"
	     "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |\n"
	     "|                                         |                        |               MIG M. |\n"
	     "|=========================================+========================+======================|\n");
	for (u32 i = 0; i < many; i++) {
		const struct card *c = &page.card[chosen[i]];
		if (c->fault == FAULT_LOST) {
			say("| %3d  ERR!                          ERR! |  %16s ERR! |                 ERR! |\n", (u64)chosen[i], c->bus);
			text("|ERR!  ERR! ERR!              ERR! / ERR! |            GPU is lost |     ERR!        ERR! |\n|                                         |                        |                 ERR! |\n");
			text(columns);
			continue;
		}
		memset(line, 0, sizeof line);
		u32 n = length(c->name);
		memcpy(line, c->name, n < 26 ? n : 26);
		if (n > 26) memcpy(line + 23, "...", 3);
		say("| %3d  %-26s     On  |   %16s Off | %20d |\n", (u64)chosen[i], line, c->bus, (u64)c->ecc);
		say("| N/A  %3dC    %s%15dW / %4dW |", (u64)c->temperature, c->util ? "P0" : "P8", (u64)c->power / 1000, (u64)c->power_limit / 1000);
		say("%8dMiB / %6dMiB | %6d%%      Default |\n", mib(used(c)), mib(c->memory), (u64)c->util);
		say("|                                         |                        | %20s |\n", has_mig(c) ? "Disabled" : "N/A");
		text(columns);
	}
	say("%89s\n%s", "", rule);
	text("| Processes:                                                                              |\n"
	     "|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |\n"
	     "|        ID   ID                                                               Usage      |\n"
	     "|=========================================================================================|\n");
	int any = 0;
	for (u32 i = 0; i < many; i++) {
		const struct card *c = &page.card[chosen[i]];
		for (int s = 0; s < SLOTS; s++) {
			if (!c->slots[s].pid || !alive(c->slots[s].pid)) continue;
			any = 1;
			char name[256];
			process_name(c->slots[s].pid, name, sizeof name);
			u32 n = length(name);
			const char *end = n > 35 ? name + n - 32 : name;
			copy(digits(part, mib(c->slots[s].bytes)), 4, "MiB");
			say("|  %3d   N/A  N/A %16d      C   %s", (u64)chosen[i], (u64)c->slots[s].pid, n > 35 ? "..." : "");
			say(n > 35 ? "%-32s %9s |\n" : "%-35s %9s |\n", end, part);
		}
	}
	if (!any) text("|  No running processes found                                                             |\n");
	text(rule);
}

static void list(void) {
	for (u32 i = 0; i < many; i++) say("GPU %d: %s (UUID: %s)\n", (u64)chosen[i], page.card[chosen[i]].name, page.card[chosen[i]].uuid);
}

/* What --query-gpu may ask for: a number with a unit, or a text. */
enum kind { TEXT, COUNT, MEBIBYTES, PERCENT, CELSIUS, WATTS, MEGAHERTZ };
static const char *const units[] = {"", "", " MiB", " %", "", " W", " MHz"};
static const char *const titles[] = {"", "", " [MiB]", " [%]", "", " [W]", " [MHz]"};

struct answer {
	const char *text;
	u64 number; /* of WATTS, mW */
};
struct field {
	const char *name, *other;
	enum kind kind;
	u8 what;
};
enum what {
	NAME, INDEX, UUID, BUS, DRIVER, CARDS, NONE, OFF, ON, DEFAULT_MODE, PERFORMANCE, CAPABILITY, WHEN, MIG, DISABLED, VBIOS, PCI_DEVICE, ZERO,
	TOTAL, RESERVED, USED, FREE, LOAD, MEMORY_LOAD, HEAT, POWER, POWER_LIMIT, POWER_LEAST, CLOCK, MEMORY_CLOCK, MAX_CLOCK, MAX_MEMORY_CLOCK, UNCORRECTED, FOUR, SIXTEEN, THROTTLE, IDLE
};
static const struct field fields[] = {
	{"timestamp", 0, TEXT, WHEN}, {"driver_version", 0, TEXT, DRIVER}, {"count", 0, COUNT, CARDS}, {"name", "gpu_name", TEXT, NAME},
	{"index", 0, COUNT, INDEX}, {"minor_number", 0, COUNT, INDEX}, {"uuid", "gpu_uuid", TEXT, UUID}, {"serial", "gpu_serial", TEXT, NONE},
	{"pci.bus_id", "gpu_bus_id", TEXT, BUS}, {"pci.device_id", 0, TEXT, PCI_DEVICE}, {"vbios_version", 0, TEXT, VBIOS},
	{"pcie.link.gen.current", "pcie.link.gen.gpucurrent", COUNT, FOUR}, {"pcie.link.gen.max", "pcie.link.gen.gpumax", COUNT, FOUR},
	{"pcie.link.width.current", 0, COUNT, SIXTEEN}, {"pcie.link.width.max", 0, COUNT, SIXTEEN},
	{"display_mode", 0, TEXT, DISABLED}, {"display_active", 0, TEXT, DISABLED}, {"persistence_mode", 0, TEXT, ON}, {"accounting.mode", 0, TEXT, DISABLED},
	{"fan.speed", 0, TEXT, NONE}, {"pstate", 0, TEXT, PERFORMANCE}, {"compute_mode", 0, TEXT, DEFAULT_MODE}, {"compute_cap", 0, TEXT, CAPABILITY},
	{"mig.mode.current", 0, TEXT, MIG}, {"mig.mode.pending", 0, TEXT, MIG},
	{"clocks_throttle_reasons.active", "clocks_event_reasons.active", TEXT, THROTTLE}, {"clocks_throttle_reasons.gpu_idle", "clocks_event_reasons.gpu_idle", TEXT, IDLE},
	{"memory.total", 0, MEBIBYTES, TOTAL}, {"memory.reserved", 0, MEBIBYTES, RESERVED}, {"memory.used", 0, MEBIBYTES, USED}, {"memory.free", 0, MEBIBYTES, FREE},
	{"utilization.gpu", 0, PERCENT, LOAD}, {"utilization.memory", 0, PERCENT, MEMORY_LOAD}, {"utilization.encoder", 0, PERCENT, ZERO}, {"utilization.decoder", 0, PERCENT, ZERO},
	{"temperature.gpu", 0, CELSIUS, HEAT}, {"temperature.memory", 0, TEXT, NONE},
	{"power.management", 0, TEXT, ON}, {"power.draw", 0, WATTS, POWER}, {"power.draw.average", 0, WATTS, POWER}, {"power.draw.instant", 0, WATTS, POWER},
	{"power.limit", 0, WATTS, POWER_LIMIT}, {"enforced.power.limit", 0, WATTS, POWER_LIMIT}, {"power.default_limit", 0, WATTS, POWER_LIMIT},
	{"power.max_limit", 0, WATTS, POWER_LIMIT}, {"power.min_limit", 0, WATTS, POWER_LEAST},
	{"clocks.current.graphics", "clocks.gr", MEGAHERTZ, CLOCK}, {"clocks.current.sm", "clocks.sm", MEGAHERTZ, CLOCK}, {"clocks.current.memory", "clocks.mem", MEGAHERTZ, MEMORY_CLOCK},
	{"clocks.current.video", "clocks.video", MEGAHERTZ, CLOCK}, {"clocks.max.graphics", "clocks.max.gr", MEGAHERTZ, MAX_CLOCK}, {"clocks.max.sm", 0, MEGAHERTZ, MAX_CLOCK},
	{"clocks.max.memory", "clocks.max.mem", MEGAHERTZ, MAX_MEMORY_CLOCK}, {"clocks.applications.graphics", "clocks.applications.gr", MEGAHERTZ, MAX_CLOCK},
	{"clocks.applications.memory", "clocks.applications.mem", MEGAHERTZ, MAX_MEMORY_CLOCK},
	{"ecc.mode.current", 0, TEXT, ON}, {"ecc.mode.pending", 0, TEXT, ON},
	{"ecc.errors.uncorrected.volatile.total", 0, COUNT, UNCORRECTED}, {"ecc.errors.uncorrected.aggregate.total", 0, COUNT, UNCORRECTED},
	{"ecc.errors.corrected.volatile.total", 0, COUNT, ZERO}, {"ecc.errors.corrected.aggregate.total", 0, COUNT, ZERO},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static struct answer answer(u8 what, const struct card *c, u32 index) {
	static char made[40];
	struct answer a = {0, 0};
	switch ((enum what)what) {
	case NAME: a.text = c->name; break;
	case UUID: a.text = c->uuid; break;
	case BUS: a.text = c->bus; break;
	case DRIVER: a.text = page.driver; break;
	case NONE: a.text = "[N/A]"; break;
	case OFF: case DISABLED: a.text = "Disabled"; break;
	case ON: a.text = "Enabled"; break;
	case MIG: a.text = has_mig(c) ? "Disabled" : "[N/A]"; break;
	case DEFAULT_MODE: a.text = "Default"; break;
	case VBIOS: a.text = "92.00.45.00.03"; break;
	case PCI_DEVICE: a.text = "0x000010DE"; break;
	case PERFORMANCE: a.text = c->util ? "P0" : "P8"; break;
	case THROTTLE: a.text = c->throttle || c->util ? "0x0000000000000000" : "0x0000000000000001"; break;
	case IDLE: a.text = c->util ? "Not Active" : "Active"; break;
	case WHEN: date(made); a.text = made; break;
	case CAPABILITY: {
		char *at = digits(made, c->capability >> 8);
		*at++ = '.';
		digits(at, c->capability & 0xff);
		a.text = made;
		break;
	}
	case INDEX: a.number = index; break;
	case CARDS: a.number = page.cards; break;
	case ZERO: break;
	case FOUR: a.number = 4; break;
	case SIXTEEN: a.number = 16; break;
	case TOTAL: a.number = mib(c->memory); break;
	case RESERVED: a.number = mib(c->reserved); break;
	case USED: a.number = mib(used(c)); break;
	case FREE: a.number = mib(c->memory - c->reserved - used(c)); break;
	case LOAD: a.number = c->util; break;
	case MEMORY_LOAD: a.number = c->memory_util; break;
	case HEAT: a.number = c->temperature; break;
	case POWER: a.number = c->power; break;
	case POWER_LIMIT: a.number = c->power_limit; break;
	case POWER_LEAST: a.number = c->power_limit / 4; break;
	case CLOCK: a.number = c->clock; break;
	case MEMORY_CLOCK: a.number = c->memory_clock; break;
	case MAX_CLOCK: a.number = c->max_clock; break;
	case MAX_MEMORY_CLOCK: a.number = c->max_memory_clock; break;
	case UNCORRECTED: a.number = c->ecc; break;
	}
	return a;
}

static void value(enum kind kind, struct answer a, int with_units) {
	if (a.text) {
		text(a.text);
		return;
	}
	if (kind == WATTS) say("%d.%02d", a.number / 1000, a.number % 1000 / 10);
	else say("%d", a.number);
	if (with_units) text(units[kind]);
}

struct format { int csv, header, units; };

/* word takes the next of a list with commas between, without spaces around it. */
static int word(const char **s, char *to, u32 size) {
	while (**s == ',' || **s == ' ') (*s)++;
	if (!**s) return 0;
	u32 n = 0;
	for (; **s && **s != ','; (*s)++)
		if (n + 1 < size) to[n++] = **s;
	while (n && to[n - 1] == ' ') n--;
	to[n] = 0;
	return 1;
}

static const struct field *find(const char *name) {
	for (u32 i = 0; i < FIELDS; i++)
		if (same(name, fields[i].name) || (fields[i].other && same(name, fields[i].other))) return &fields[i];
	return 0;
}

static void query(const char *asked, struct format f) {
	const struct field *list[64];
	u32 n = 0;
	char name[64];
	if (!f.csv) text("\"--format=\" with the value \"csv\" is required for a query.\n"), quit(2);
	for (const char *at = asked; word(&at, name, sizeof name);) {
		const struct field *found = find(name);
		if (!found || n == 64) say("Field \"%s\" is not a valid field to query.\n", name), quit(2);
		if (f.header) say("%s%s%s", n ? ", " : "", name, titles[found->kind]);
		list[n++] = found;
	}
	if (!n) text("There is nothing to query.\n"), quit(2);
	if (f.header) put('\n');
	for (u32 i = 0; i < many; i++) {
		const struct card *c = &page.card[chosen[i]];
		for (u32 k = 0; k < n; k++) {
			if (k) text(", ");
			if (c->fault == FAULT_LOST && list[k]->what != INDEX && list[k]->what != BUS) text("[GPU is lost]");
			else value(list[k]->kind, answer(list[k]->what, c, chosen[i]), f.units);
		}
		put('\n');
	}
}

/* The processes, as --query-compute-apps asks for them. */
static void query_processes(const char *asked, struct format f) {
	static const char *const known[] = {"timestamp", "gpu_name", "gpu_bus_id", "gpu_uuid", "gpu_serial", "pid", "process_name", "name", "used_gpu_memory", "used_memory"};
	char name[64], program[256];
	u32 n = 0;
	if (!f.csv) text("\"--format=\" with the value \"csv\" is required for a query.\n"), quit(2);
	for (const char *at = asked; word(&at, name, sizeof name); n++) {
		int found = 0;
		for (u32 i = 0; i < sizeof known / sizeof *known; i++) found |= same(name, known[i]);
		if (!found) say("Field \"%s\" is not a valid field to query.\n", name), quit(2);
		if (f.header) say("%s%s%s", n ? ", " : "", name, begins(name, "used_") ? " [MiB]" : "");
	}
	if (f.header) put('\n');
	for (u32 i = 0; i < many; i++) {
		const struct card *c = &page.card[chosen[i]];
		for (int s = 0; s < SLOTS; s++) {
			if (!c->slots[s].pid || !alive(c->slots[s].pid)) continue;
			n = 0;
			for (const char *at = asked; word(&at, name, sizeof name); n++) {
				if (n) text(", ");
				if (same(name, "pid")) say("%d", (u64)c->slots[s].pid);
				else if (same(name, "process_name") || same(name, "name")) process_name(c->slots[s].pid, program, sizeof program), text(program);
				else if (begins(name, "used_")) value(MEBIBYTES, (struct answer){0, mib(c->slots[s].bytes)}, f.units);
				else {
					const struct field *found = find(name);
					if (found) value(found->kind, answer(found->what, c, chosen[i]), f.units);
				}
			}
			put('\n');
		}
	}
}

static void line(int depth, const char *name, const char *what) {
	say("%s%s", depth == 1 ? "    " : "        ", name);
	for (int n = (int)length(name) + depth * 4; n < 46; n++) put(' ');
	say(": %s\n", what);
}
static void measure(int depth, const char *name, u64 n, const char *unit) {
	char made[40];
	copy(digits(made, n), 16, unit);
	line(depth, name, made);
}
static void watts(int depth, const char *name, u64 n) {
	char made[40];
	char *at = digits(made, n / 1000);
	*at++ = '.';
	if (n % 1000 < 100) *at++ = '0';
	copy(digits(at, n % 1000 / 10), 4, " W");
	line(depth, name, made);
}

static void details(void) {
	char made[64];
	date(made);
	text("\n==============NVSMI LOG==============\n\n");
	line(0, "Timestamp", made);
	line(0, "Driver Version", page.driver);
	version(page.cuda, made);
	line(0, "CUDA Version", made);
	put('\n');
	measure(0, "Attached GPUs", page.cards, "");
	for (u32 i = 0; i < many; i++) {
		const struct card *c = &page.card[chosen[i]];
		say("GPU %s\n", c->bus);
		if (c->fault == FAULT_LOST) {
			line(1, "GPU", "GPU is lost");
			continue;
		}
		line(1, "Product Name", c->name);
		static const char *const names[] = {"Turing", "Ampere", "Ada Lovelace", "Hopper", "Blackwell"};
		line(1, "Product Architecture", c->architecture >= 6 && c->architecture <= 10 ? names[c->architecture - 6] : "Unknown");
		line(1, "Display Mode", "Disabled");
		line(1, "Display Active", "Disabled");
		line(1, "Persistence Mode", "Enabled");
		text("    MIG Mode\n");
		line(2, "Current", has_mig(c) ? "Disabled" : "N/A");
		line(2, "Pending", has_mig(c) ? "Disabled" : "N/A");
		line(1, "Serial Number", "N/A");
		line(1, "GPU UUID", c->uuid);
		measure(1, "Minor Number", chosen[i], "");
		line(1, "VBIOS Version", "92.00.45.00.03");
		line(1, "Fan Speed", "N/A");
		line(1, "Performance State", c->util ? "P0" : "P8");
		text("    FB Memory Usage\n");
		measure(2, "Total", mib(c->memory), " MiB");
		measure(2, "Reserved", mib(c->reserved), " MiB");
		measure(2, "Used", mib(used(c)), " MiB");
		measure(2, "Free", mib(c->memory - c->reserved - used(c)), " MiB");
		line(1, "Compute Mode", "Default");
		text("    Utilization\n");
		measure(2, "GPU", c->util, " %");
		measure(2, "Memory", c->memory_util, " %");
		measure(2, "Encoder", 0, " %");
		measure(2, "Decoder", 0, " %");
		text("    ECC Mode\n");
		line(2, "Current", "Enabled");
		line(2, "Pending", "Enabled");
		text("    ECC Errors\n");
		measure(2, "Uncorrectable", c->ecc, "");
		text("    Temperature\n");
		measure(2, "GPU Current Temp", c->temperature, " C");
		text("    GPU Power Readings\n");
		watts(2, "Power Draw", c->power);
		watts(2, "Current Power Limit", c->power_limit);
		watts(2, "Default Power Limit", c->power_limit);
		text("    Clocks\n");
		measure(2, "Graphics", c->clock, " MHz");
		measure(2, "SM", c->clock, " MHz");
		measure(2, "Memory", c->memory_clock, " MHz");
		text("    Max Clocks\n");
		measure(2, "Graphics", c->max_clock, " MHz");
		measure(2, "SM", c->max_clock, " MHz");
		measure(2, "Memory", c->max_memory_clock, " MHz");
		int any = 0;
		for (int s = 0; s < SLOTS; s++) {
			if (!c->slots[s].pid || !alive(c->slots[s].pid)) continue;
			char name[256];
			if (!any++) text("    Processes\n");
			process_name(c->slots[s].pid, name, sizeof name);
			measure(2, "Process ID", c->slots[s].pid, "");
			line(2, "  Type", "C");
			line(2, "  Name", name);
			measure(2, "  Used GPU Memory", mib(c->slots[s].bytes), " MiB");
		}
		if (!any) line(1, "Processes", "None");
	}
}

static void help_query(void) {
	text("List of valid properties to query for the switch \"--query-gpu\":\n\n");
	for (u32 i = 0; i < FIELDS; i++) {
		say("\"%s\"", fields[i].name);
		if (fields[i].other) say(" or \"%s\"", fields[i].other);
		put('\n');
	}
}

static void help(void) {
	say("NVIDIA System Management Interface -- v%s, of the cards that gx emulates in this container\n\n"
	    "nvidia-smi [OPTION]...\n\n"
	    "    -L, --list-gpus             the cards, one a line\n"
	    "    -q, --query                 all that is known of the cards\n"
	    "    --query-gpu=FIELDS          these properties; see --help-query-gpu\n"
	    "    --query-compute-apps=FIELDS the processes: pid, process_name, used_memory, gpu_uuid, gpu_name, gpu_bus_id\n"
	    "    --format=csv[,noheader][,nounits]\n"
	    "    -i, --id=LIST               only these cards, by index, UUID or bus id\n"
	    "    -l, --loop=SECONDS          again and again; -lms, --loop-ms=MILLISECONDS\n"
	    "    --version\n", page.driver);
}

static u64 number(const char *s) {
	u64 n = 0;
	if (!*s) return 0;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || n > 1000000) return 0;
		n = n * 10 + (u64)(*s - '0');
	}
	return n;
}

static void choose(const char *ids) {
	char id[64];
	many = 0;
	while (word(&ids, id, sizeof id)) {
		u32 found = MAX_CARDS;
		for (u32 i = 0; i < page.cards; i++) {
			char index[8];
			digits(index, i);
			if (same(id, index) || same_any_case(id, page.card[i].uuid) || same_any_case(id, page.card[i].bus) || same_any_case(id, page.card[i].bus + 4)) found = i;
		}
		if (found == MAX_CARDS) say("No devices were found for \"%s\"\n", id), quit(6);
		if (many < MAX_CARDS) chosen[many++] = found;
	}
}

/* option takes an option's value, from behind "=" or from the next argument. */
static const char *option(char ***at, const char *name, const char *brief) {
	char *arg = **at;
	u32 n = length(name);
	if (begins(arg, name) && arg[n] == '=') return arg + n + 1;
	if (same(arg, name) || (brief && same(arg, brief))) {
		if ((*at)[1]) return *++*at;
		say("Option \"%s\" is given without a value.\n", arg), quit(2);
	}
	if (brief && length(brief) == 2 && begins(arg, brief) && arg[2] == '=') return arg + 3;
	return 0;
}

static void load(const char *ids) {
	if (!page_load(&page)) {
		text("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.\n\n"
		     "(This container has no emulated GPU: its function asks for none.)\n");
		quit(9);
	}
	for (many = 0; many < page.cards; many++) chosen[many] = many;
	if (ids) choose(ids);
}

__attribute__((used)) static void start(long *stack) {
	char **argv = (char **)(stack + 1);
	const char *ids = 0, *gpus = 0, *apps = 0, *value;
	int listed = 0, detailed = 0, known = 1;
	i64 again = 0;
	struct format f = {0, 1, 1};
	if (!*argv) quit(2);
	for (argv++; *argv; argv++) {
		const char *arg = *argv;
		char part[32];
		if (same(arg, "-L") || same(arg, "--list-gpus")) listed = 1;
		else if (same(arg, "-q") || same(arg, "--query")) detailed = 1;
		else if (same(arg, "-h") || same(arg, "--help")) load(0), help(), quit(0);
		else if (same(arg, "--help-query-gpu")) help_query(), quit(0);
		else if (same(arg, "--version")) {
			char cuda[16];
			load(0);
			version(page.cuda, cuda);
			say("NVIDIA-SMI version  : %s\nNVML version        : %s\nDRIVER version      : %s\nCUDA Version        : %s\n", page.driver, page.driver, page.driver, cuda), quit(0);
		} else if ((value = option(&argv, "--id", "-i"))) ids = value;
		else if ((value = option(&argv, "--query-gpu", 0))) gpus = value;
		else if ((value = option(&argv, "--query-compute-apps", 0))) apps = value;
		else if ((value = option(&argv, "--display", "-d"))) ; /* all is shown */
		else if ((value = option(&argv, "--loop-ms", "-lms"))) again = (i64)number(value);
		else if ((value = option(&argv, "--loop", "-l"))) again = (i64)number(value) * 1000;
		else if ((value = option(&argv, "--format", 0))) {
			while (word(&value, part, sizeof part)) {
				if (same(part, "csv")) f.csv = 1;
				else if (same(part, "noheader")) f.header = 0;
				else if (same(part, "nounits")) f.units = 0;
				else known = 0;
			}
		} else known = 0;
		if (!known) say("Invalid combination of input arguments. \"%s\" is not known to gx's nvidia-smi; \"nvidia-smi -h\" tells what is.\n", arg), quit(2);
	}
	do {
		load(ids);
		if (gpus) query(gpus, f);
		else if (apps) query_processes(apps, f);
		else if (listed) list();
		else if (detailed) details();
		else table();
		for (u32 i = 0; i < many; i++)
			if (page.card[chosen[i]].fault == FAULT_LOST && !listed) {
				say("Unable to determine the device handle for GPU%s: GPU is lost.  Reboot the system to recover this GPU\n", page.card[chosen[i]].bus);
				quit(15);
			}
		flush();
		if (again) pause_for(again), f.header = 0;
	} while (again);
	quit(0);
}

/* Where the kernel begins: the arguments are on the stack. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl start\n");
#endif
