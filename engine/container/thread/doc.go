// Package thread runs code on operating system threads of its own, which end
// with it: what it does to its thread, as moving it into other namespaces, is
// nobody else's and is gone afterwards. What is done there it does not know.
package thread
