package store

// Waiting is how many updates the writer has not taken.
func (d *DB) Waiting() int { return len(d.updates) }
