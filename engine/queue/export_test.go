package queue

// Waiting is how many requests are in lines, and not being done.
func (s *Service) Waiting() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		if !p.working {
			n += len(p.puts) + len(p.gets) + len(p.clears)
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
