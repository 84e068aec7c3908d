/*
 * What probes ask, and the floor of asking.
 *
 *   target serve            answers every request with 200 and an empty body, and
 *                           GET /count with the number of them; prints its port
 *   target ask PORT N S     makes N requests a second for S seconds, each over a
 *                           connection of its own, one after the other and evenly
 *                           spaced; prints the processor time that it took, in ns
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

static int loopback(struct sockaddr_in *address, int port)
{
	memset(address, 0, sizeof *address);
	address->sin_family = AF_INET;
	address->sin_port = htons(port);
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int serve(void)
{
	struct sockaddr_in address;
	socklen_t length = sizeof address;
	struct epoll_event event = {.events = EPOLLIN}, events[64];
	long count = 0;
	int listener = loopback(&address, 0), epoll = epoll_create1(0);

	if (bind(listener, (void *)&address, length) || listen(listener, 4096) || getsockname(listener, (void *)&address, &length))
		return 1;
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	event.data.fd = listener;
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);
		for (int i = 0; i < n; i++) {
			char text[4096], answer[256], body[32] = "";
			int fd = events[i].data.fd;
			ssize_t got;

			if (fd == listener) {
				event.data.fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
				epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
				continue;
			}
			got = read(fd, text, sizeof text - 1);
			if (got > 0) {
				text[got] = 0;
				if (!strncmp(text, "GET /count", 10))
					sprintf(body, "%ld", count);
				else
					count++;
				got = sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", strlen(body), body);
				if (write(fd, answer, got) < 0)
					perror("target");
			}
			close(fd);
		}
	}
}

static int ask(int port, int rate, int seconds)
{
	struct sockaddr_in address;
	struct timespec next;
	struct rusage used;
	char answer[4096];

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (long n = 0; n < (long)rate * seconds; n++) {
		int fd = loopback(&address, port);
		if (connect(fd, (void *)&address, sizeof address) || write(fd, request, sizeof request - 1) < 0 || read(fd, answer, sizeof answer) <= 0)
			return 1;
		close(fd);
		next.tv_nsec += 1000000000L / rate;
		if (next.tv_nsec >= 1000000000L) {
			next.tv_nsec -= 1000000000L;
			next.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, 0);
	}
	getrusage(RUSAGE_SELF, &used);
	printf("%lld\n", (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000LL + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000LL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "serve"))
		return serve();
	if (argc == 5 && !strcmp(argv[1], "ask"))
		return ask(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
	return 2;
}
