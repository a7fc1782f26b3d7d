package trace

// ring keeps the last values that were added to it.
type ring[T any] struct {
	most int
	list []T
	next int // where the next value goes, once the list is full
}

// add adds a value and returns the one that made room for it.
func (r *ring[T]) add(v T) (old T, full bool) {
	if len(r.list) < r.most {
		r.list = append(r.list, v)
		return old, false
	}
	old = r.list[r.next]
	r.list[r.next] = v
	r.next = (r.next + 1) % r.most
	return old, true
}

// latest calls fn with the values, the newest first, until it returns false.
func (r *ring[T]) latest(fn func(T) bool) {
	n := len(r.list)
	for i := range n {
		if !fn(r.list[(r.next+2*n-1-i)%n]) {
			return
		}
	}
}
