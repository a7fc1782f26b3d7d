package wire

import "os"

// Rights is the ancillary data that passes a descriptor, for tests.
func Rights(f *os.File) []byte { return rights(int(f.Fd())) }
