// Package watch turns a directory of manifests into a stream of immutable
// spec.Set values, keeping the last good version of each file.
//
// Files in a directory are not written as one: a set that is half written,
// half renamed or half checked out is an everyday state. It is harmless here
// for five reasons. A file is read only when nobody has it open for writing. A
// file that is wrong changes nothing. A removal takes effect a second after it,
// when nothing else declares the service by then. A removal of most services waits for a
// person. And whoever wants many files to change as one flips a link: each link
// is followed once in a look at the directory.
//
// A Watcher can be seeded with what an earlier image of the process had in
// force: the ledger then begins as if it had read those files, so that an upgrade or
// a crash is no gap in any of these rules.
//
// The package has three layers. The ledger decides: it is told what was seen
// and when, and says what is in force, what is wrong, and when to look again;
// it makes no system call and reads no clock. The scanner looks: it resolves
// paths by open descriptors (walk), judges owners (trust), waits for writers
// (reader) and knows what must be watched (coverage). The Watcher waits, in one
// goroutine that owns everything; a second one only reads inotify.
//
// An event says that something happened, not what. The entry that it names is looked
// at at once, so that one rename among thousands of files costs as little as among ten
// (0.2 ms; a list of 1,000 takes 1.3 ms), and everything is listed
// soon after, whatever the events said. An event that names no single entry (a
// link, a folder, lost events, the directory itself) has everything listed at once.
//
// Files does the same for the content of single files that services name. There are
// few of them, so it looks at all of them, soon after whatever happened.
package watch
