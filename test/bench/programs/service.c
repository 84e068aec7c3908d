/*
 * A service: its first act is to append {time, pid, id} to a file, then it
 * sleeps until a signal ends it. Linked statically.
 *
 *   service FILE ID
 */
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	struct { long long nanoseconds; int pid, id; } record;
	int fd;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (argc != 3)
		return 2;
	record.nanoseconds = now.tv_sec * 1000000000LL + now.tv_nsec;
	record.pid = getpid();
	record.id = atoi(argv[2]);
	fd = open(argv[1], O_WRONLY | O_APPEND);
	if (fd < 0 || write(fd, &record, sizeof record) != sizeof record)
		return 1;
	close(fd);
	for (;;)
		pause();
}
