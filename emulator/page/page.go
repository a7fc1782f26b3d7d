// Package page is the shared page: the one file by which a container, what runs
// in it and the host tell each other of the container's emulated cards. It
// writes and reads that file, and knows nothing of who does what with it.
//
// # In the container
//
// The host makes one file for each container and mounts it, writable, at
// /__gx/gpu/page, which the environment variable GX_GPU_PAGE also says. Who
// finds no such variable has no emulated card. The host further sets
//
//	CUDA_VISIBLE_DEVICES    0,1,... one index for each card of the page
//	NVIDIA_VISIBLE_DEVICES  the UUIDs of the cards, with commas between
//	LD_LIBRARY_PATH         with /__gx/gpu/lib, where libnvidia-ml.so.1 is, first
//	PATH                    with /__gx/gpu/bin, where nvidia-smi is, first
//	PYTHONPATH              with /__gx/gpu/python first, where there is one
//
// Beside the page lies /__gx/gpu/catalogue.json: every card that gx knows, with
// rates and prices, as package gpu writes it.
//
// A program reads the page's facts with plain reads, and maps it (shared,
// writable) when it first uses a card: a process that maps it is not forked to
// make further containers, because each container has a page of its own. A
// process that is forked within a container goes on with the same page.
//
// # Layout
//
// The file has 16384 bytes (Size). All numbers are little-endian and aligned to
// their size; texts are UTF-8, padded with at least one zero byte. What is not
// named is zero. A reader refuses another magic number or version.
//
// The header, of 128 bytes:
//
//	offset  type      what
//	0       [8]byte   "gxgpu\x00\x00\x00"
//	8       u32       version of the layout: 1
//	12      u32       number of cards, 1 to 16
//	16      [24]byte  version of the driver: "570.124.06"
//	40      [24]byte  version of NVML: "12.570.124.06"
//	64      u32       version of CUDA that the driver is for: 12080 is 12.8
//
// Card i has 512 bytes, from 128 + 512·i on. Offsets within them:
//
//	offset  type      what                                                       written by
//	0       [64]byte  name: "NVIDIA A100-SXM4-80GB"                              host
//	64      [48]byte  UUID: "GPU-" and 36 characters                             host
//	112     u64       memory, bytes, as NVML and nvidia-smi have it              host
//	120     u64       of it, what the driver keeps for itself                    host
//	128     u64       memory, bytes, as CUDA (and so PyTorch) has it             host
//	136     [24]byte  PCI bus id: "00000000:3B:00.0"                             host
//	160     u32       utilisation of the card, percent                           host
//	164     u32       utilisation of its memory's interface, percent             host
//	168     u32       temperature, °C                                            host
//	172     u32       power, mW                                                  host
//	176     u32       limit of the power, mW                                     host
//	180     u32       compute capability: major·256 + minor                      host
//	184     u32       architecture, as nvmlDeviceArchitecture_t numbers it       host
//	188     u32       fault, see below                                           host; taken by processes
//	192     u32       the last Xid error's number                                host
//	196     u32       how many Xid errors there have been                        host
//	200     u32       clock of the multiprocessors, MHz                          host
//	204     u32       clock of the memory, MHz                                   host
//	208     u32       why clocks are lowered, as NVML's bits                     host
//	212     u32       uncorrectable ECC errors                                   host
//	216     u32       streaming multiprocessors                                  host
//	220     u32       highest clock of the multiprocessors, MHz                  host
//	224     16 slots  memory in use, by process                                  processes
//	480     u64       memory in use of processes that found no slot, bytes       processes
//	488     u64       operations that were run on the card                       processes
//	496     u64       most memory that was in use at once, bytes                 processes
//	504     u32       highest clock of the memory, MHz                           host
//	508     u32       width of the memory's interface, bits                      host
//
// A slot is 16 bytes: u32 process id, as its container numbers it (0 = the slot
// is free), u32 zero, u64 bytes in use. A process takes the first free slot and
// frees it at its end; one that was killed leaves it, so a slot counts only
// while there is such a process in the container. What stands there is what the
// process's framework has reserved, with the card's context.
//
// # Faults
//
// The fault of a card is one of
//
//	0   none
//	1   OutOfMemory: the next allocation on the card fails for want of memory
//	2   ECC: an uncorrectable memory error (torch: "uncorrectable ECC error encountered")
//	3   IllegalAddress ("an illegal memory access was encountered")
//	4   Assert ("device-side assert triggered")
//	5   LaunchFailure ("unspecified launch failure")
//	15  Lost: the card has fallen off the bus
//
// Faults 1 to 5 are for one process: the first that comes upon one writes 0 in
// its place and raises it. After OutOfMemory it goes on as if nothing had been;
// after the others its context is lost, so it raises the same error at each
// further operation on that card until it ends, and a process that begins later
// finds the card in order. Lost stays: nobody writes over it, every operation of
// every process on the card fails with CUDA's "unknown error", and NVML answers
// NVML_ERROR_GPU_IS_LOST.
//
// An Xid error is told of once: the count at 196 goes up after the number at 192
// is written. NVML's event sets wait for that.
package page

// Sizes of the file and its parts, in bytes.
const (
	Size       = 16384
	HeaderSize = 128
	CardSize   = 512
	SlotSize   = 16
)

// Slots is how many processes of a card have a slot; MaxCards how many cards a
// page describes.
const (
	Slots    = 16
	MaxCards = 16
)

// Magic and Version are the first twelve bytes of every page.
const (
	Magic   = "gxgpu\x00\x00\x00"
	Version = 1
)

// Path is where the page is in a container, and Variable is the environment
// variable that says so.
const (
	Path     = "/__gx/gpu/page"
	Variable = "GX_GPU_PAGE"
)

// Offsets of the header's fields.
const (
	offVersion = 8
	offCards   = 12
	offDriver  = 16
	offNVML    = 40
	offCUDA    = 64
)

// Offsets of a card's fields, from where the card begins.
const (
	offName         = 0
	offUUID         = 64
	offMemory       = 112
	offReserved     = 120
	offCUDAMemory   = 128
	offBus          = 136
	offUtil         = 160
	offMemoryUtil   = 164
	offTemperature  = 168
	offPower        = 172
	offPowerLimit   = 176
	offCapability   = 180
	offArchitecture = 184
	offFault        = 188
	offXid          = 192
	offXids         = 196
	offClock        = 200
	offMemoryClock  = 204
	offThrottle     = 208
	offECC          = 212
	offSMs          = 216
	offMaxClock     = 220
	offSlots        = 224
	offOverflow     = 480
	offOperations   = 488
	offPeak         = 496
	offMaxMemClock  = 504
	offBusWidth     = 508
)

// Fault is what is wrong with a card.
type Fault uint32

// The faults; the package's documentation says what each means to a process.
const (
	NoFault        Fault = 0
	OutOfMemory    Fault = 1
	ECC            Fault = 2
	IllegalAddress Fault = 3
	Assert         Fault = 4
	LaunchFailure  Fault = 5
	Lost           Fault = 15
)

// Header is what the cards of a page have in common.
type Header struct {
	Driver string // version of the driver
	NVML   string // version of NVML
	CUDA   int    // 12080 is 12.8
}

// Card is what a page says of a card that does not change.
type Card struct {
	Name         string
	UUID         string
	Bus          string // PCI bus id
	Memory       uint64 // bytes, as NVML has it
	Reserved     uint64 // bytes of Memory that the driver keeps
	CUDAMemory   uint64 // bytes, as CUDA has it
	Major, Minor int    // compute capability
	Architecture int    // as NVML numbers it
	SMs          int    // streaming multiprocessors
	MaxClock     int    // MHz
	MaxMemClock  int    // MHz
	BusWidth     int    // bits
	PowerLimit   int    // mW
}

// Reading is what the host says of a card that changes.
type Reading struct {
	Utilisation       int // percent
	MemoryUtilisation int // percent
	Temperature       int // °C
	Power             int // mW
	Clock             int // MHz
	MemoryClock       int // MHz
	Throttle          int // NVML's bits
}

// Process is a process that uses a card.
type Process struct {
	PID    int    // as its container numbers it
	Memory uint64 // bytes
}
