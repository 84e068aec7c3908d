/*
 * A service that writes lines of 200 bytes to standard output, as fast as it can.
 *
 *   writer FILE ID GATE TOTAL CHUNK
 *
 * It appends {time, pid, id} to FILE when it is there, and again when it begins,
 * which is when nobody has locked GATE any more. It writes TOTAL bytes, or until
 * it is killed when that is 0, CHUNK bytes with each call. The last line tells
 * that it is the last.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 200, MOST = 1 << 20 };

static void stamp(const char *file, int id)
{
	struct timespec now;
	struct { long long nanoseconds; int pid, id; } record;
	int fd;

	clock_gettime(CLOCK_MONOTONIC, &now);
	record.nanoseconds = now.tv_sec * 1000000000LL + now.tv_nsec;
	record.pid = getpid();
	record.id = id;
	fd = open(file, O_WRONLY | O_APPEND);
	if (fd < 0 || write(fd, &record, sizeof record) != sizeof record)
		exit(1);
	close(fd);
}

static void put(const char *text, size_t left)
{
	while (left > 0) {
		ssize_t n = write(1, text, left);
		if (n < 0)
			exit(1);
		text += n;
		left -= n;
	}
}

int main(int argc, char **argv)
{
	static char text[MOST + LINE];
	char last[LINE];
	long long total, at = 0;
	size_t chunk;
	int gate;

	if (argc != 6)
		return 2;
	total = atoll(argv[4]);
	chunk = atol(argv[5]);
	gate = open(argv[3], O_RDONLY);
	if (gate < 0 || chunk < 1 || chunk > MOST || total % LINE != 0)
		return 2;
	memset(text, 'x', sizeof text);
	for (size_t i = LINE - 1; i < sizeof text; i += LINE)
		text[i] = '\n';
	memset(last, '.', LINE);
	snprintf(last, LINE, "the last line of %s", argv[2]);
	last[strlen(last)] = ' ';
	last[LINE - 1] = '\n';

	stamp(argv[1], atoi(argv[2]));
	if (flock(gate, LOCK_SH) != 0)
		return 1;
	stamp(argv[1], atoi(argv[2]));
	for (;;) {
		size_t n = chunk;
		if (total != 0 && total - LINE - at < (long long)n)
			n = total - LINE - at;
		if (n == 0)
			break;
		put(text + at % LINE, n);
		at += n;
	}
	put(last, LINE);
	return 0;
}
