package queue

// Waiting is how many requests are in lines, and not being done.
func (s *Service) Waiting() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		if !p.led {
			n += len(p.puts) + len(p.gets) + len(p.clears)
		}
	}
	return n
}

// Busy is how many requests are being done.
func (s *Service) Busy() int { return s.count(func(r *request) bool { return r.busy }) }

// Late is how many requests are being done whose time is over.
func (s *Service) Late() int { return s.count(func(r *request) bool { return r.late }) }

func (s *Service) count(is func(*request) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		for _, line := range [][]*request{p.puts, p.gets, p.clears} {
			for _, r := range line {
				if is(r) {
					n++
				}
			}
		}
	}
	return n
}

// Watching is how many wait for a put to look at it.
func (s *Service) Watching() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		n += p.watchers
	}
	return n
}

// InUse is how many partitions are known.
func (s *Service) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.partitions)
}
