/*
 * The floor: what starting N processes costs a program that does nothing else.
 * One thread, posix_spawn, no descriptor, no group, no record.
 *
 *   floor N PROGRAM FILE
 */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	int n = argc == 4 ? atoi(argv[1]) : 0;
	char *environment[] = {"PATH=/usr/bin:/bin", NULL};

	for (int i = 0; i < n; i++) {
		char id[16];
		char *arguments[] = {argv[2], argv[3], id, NULL};
		pid_t pid;
		int error;

		snprintf(id, sizeof id, "%d", i);
		error = posix_spawn(&pid, argv[2], NULL, NULL, arguments, environment);
		if (error) {
			fprintf(stderr, "floor: cannot start %s: %s\n", argv[2], strerror(error));
			return 1;
		}
	}
	return n == 0;
}
