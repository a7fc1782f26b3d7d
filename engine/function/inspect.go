package function

// memberOf is the function's container of an id, or nil.
func (f *Function) memberOf(id string) *member {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// Has reports whether a container is one of the function's.
func (f *Function) Has(id string) bool { return f.memberOf(id) != nil }
