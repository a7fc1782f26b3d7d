// Package process is the container.Runtime for machines on which containers
// are impossible: it runs a program as an ordinary process of the user, in the
// virtual environment of Spec.Root.Venv. Isolation lists what that lacks. It
// works on Linux and macOS and needs no privilege.
//
// # Paths
//
// Nothing can be mounted, so paths of a container's file system are rewritten
// to where their content lies on the machine. The runtime makes a private
// folder for each container, into which it copies the trees of Root.Lower,
// topmost winning; files above 1 MiB are linked, not copied, and must not be
// written to. A path of the container then stands for
//   - the mount's Source, if it is a Mount's Target or below one;
//   - the same path in the private folder, if it is Spec.Dir or below it, or
//     exists there;
//   - itself otherwise.
//
// So "/root" is the user's own tree where Root.Lower has one, and "/usr" the
// machine's. Rewritten are Args and the values of Env and ExtraEnv, where they
// begin with a slash, element by element where they are lists like PATH; the
// rest of the text is left alone. Spec.Dir is always in the private folder. A
// program that has a container's path written in its own code does not find
// it: pass it in the environment.
//
// Programs are looked up in the virtual environment's bin, then in Env's PATH.
//
// # How it ends
//
// When its first process ends, the others are killed: all of its session and
// process group, their children, and on Linux what carries the container's
// token in its environment. One that leaves the session, clears its
// environment and loses its parent escapes. If the owner of the Runtime is
// killed, on Linux the kernel kills the first process with it, and the next New
// for the same Dir kills the others.
package process
