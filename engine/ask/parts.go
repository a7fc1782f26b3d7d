package ask

// Join puts several byte strings into one Data; their lengths go into the
// parameters or the result.
func Join(parts [][]byte) (data []byte, lengths []int) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	data, lengths = make([]byte, 0, size), make([]int, len(parts))
	for i, p := range parts {
		data, lengths[i] = append(data, p...), len(p)
	}
	return data, lengths
}

// Split is the opposite of Join. The parts are those of data.
func Split(data []byte, lengths []int) ([][]byte, error) {
	parts := make([][]byte, len(lengths))
	rest := data
	for i, n := range lengths {
		if n < 0 || n > len(rest) {
			return nil, Refused("the lengths of the parts do not fit the %d bytes that came with them", len(data))
		}
		parts[i], rest = rest[:n:n], rest[n:]
	}
	if len(rest) > 0 {
		return nil, Refused("%d bytes belong to none of the parts that came", len(rest))
	}
	return parts, nil
}
