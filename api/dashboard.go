package api

// DashboardReply is where a host's dashboard is.
type DashboardReply struct {
	URL string `json:"url"` // for a browser that was let in before
	// Open lets a browser in: once, within a few minutes.
	Open string `json:"open"`
}
