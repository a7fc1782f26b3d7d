package volume

import "time"

// Keep says which old versions are kept: the newest ones, as long as none of
// these is exceeded. The newest version of all is always kept.
type Keep struct {
	Age      time.Duration // since it was replaced; 0 = 30 days, negative = any
	Versions int           // of one volume; 0 = 100
	Bytes    int64         // that one volume may have beyond its newest version; 0 = 20 GiB
}

func (k Keep) orDefault() Keep {
	if k.Age == 0 {
		k.Age = 30 * 24 * time.Hour
	}
	if k.Versions <= 0 {
		k.Versions = 100
	}
	if k.Bytes <= 0 {
		k.Bytes = 20 << 30
	}
	return k
}
