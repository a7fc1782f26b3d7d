package gpu

import "fmt"

// Xid is what is known of an Xid error.
type Xid struct {
	Number   int
	Text     string
	Critical bool // the card is of no use any more to who has it
	// Application says that a program's own mistake causes it.
	Application bool
}

// xids are those that users meet, in the words of NVIDIA's catalogue of them.
var xids = []Xid{
	{13, "graphics engine exception: a program's bad index or instruction", false, true},
	{31, "GPU memory page fault: a program's illegal address", false, true},
	{43, "GPU stopped processing: a program's fault", false, true},
	{45, "preemptive cleanup after earlier errors", false, true},
	{48, "double bit ECC error", true, false},
	{63, "row remapping was recorded", false, false},
	{64, "row remapping has failed", true, false},
	{74, "NVLink error", true, false},
	{79, "GPU has fallen off the bus", true, false},
	{94, "contained uncorrectable ECC error", true, false},
	{95, "uncontained uncorrectable ECC error", true, false},
	{119, "GSP timeout", true, false},
	{120, "GSP error", true, false},
}

// LookupXid says what is known of an Xid error; of one that is not known, that.
func LookupXid(number int) Xid {
	for _, x := range xids {
		if x.Number == number {
			return x
		}
	}
	return Xid{Number: number, Text: "an error of the driver"}
}

// Event tells of the error on a card.
func (x Xid) Event(uuid string) Event {
	return Event{UUID: uuid, Xid: x.Number, Critical: x.Critical, Text: fmt.Sprintf("Xid %d: %s", x.Number, x.Text)}
}

// Line is an event as a container's log has it, in the form that Modal uses.
func (e Event) Line() string {
	level, kind := "WARN", "HEALTH"
	if e.Critical {
		level = "CRITICAL"
	}
	if e.Xid > 0 {
		kind = "XID"
	}
	return fmt.Sprintf("[gpu-health] [%s] %s: %s: %s", level, e.UUID, kind, e.Text)
}
