/* A closed loop of streams against one port: each connection asks again as soon as its reply is over. One thread, epoll.
 *
 *     sseload -p PORT [-u PATH] [-c CONNECTIONS] [-n REQUESTS | -t SECONDS] [-e PIECES] [-H 'name: value']... BODYFILE
 *
 * Prints one JSON object. "pieces" are the stamped pieces of mock.c; "delay" is how long one was on its way, "first" the
 * time to a reply's first byte (microseconds). "failed": no whole reply with status 200; "short": whole, but not -e pieces.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES = 4096, READ_BYTES = 65536, STAMP_BYTES = 19, LINE_BYTES = 24, EVENTS = 512, PATIENCE_S = 60 };

typedef struct conn {
    int fd, status, chunked, done, pieces;
    long long left; /* bytes of a reply with content-length; -1: not told */
    double asked_us, first_us;
    size_t sent, head_size, carry_size;
    char head[HEAD_BYTES];   /* until it is whole; then status is set */
    char carry[LINE_BYTES];  /* the end of the last read: a stamp or the last chunk may be cut there */
} conn;

typedef struct series { float *values; size_t size, capacity; } series;

static series firsts, delays;
static const char *path = "/v1/chat/completions";
static char headers[8192];
static char *request;
static size_t request_size;
static int port, connections = 1, expected, poller, live;
static long limit, asked, ok, failed, cut;
static double limit_s, begun_us;

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void add(series *s, double value) {
    if (s->size == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 4096;
        s->values = realloc(s->values, s->capacity * sizeof *s->values);
        if (!s->values) exit(1);
    }
    s->values[s->size++] = value;
}

static int order(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double percentile(const series *s, double p) {
    return s->size ? s->values[(size_t)((s->size - 1) * p)] : 0;
}

static int enough(void) {
    return limit ? asked >= limit : now_us() - begun_us > limit_s * 1e6;
}

static void push_request(conn *c) {
    ssize_t n = send(c->fd, request + c->sent, request_size - c->sent, MSG_NOSIGNAL);
    if (n > 0) c->sent += n;
    struct epoll_event e = {.events = EPOLLIN | (c->sent < request_size ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

static void dial(conn *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    connect(c->fd, (void *)&address, sizeof address);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
}

static void ask(conn *c) {
    c->status = c->chunked = c->done = c->pieces = 0;
    c->left = -1;
    c->first_us = 0;
    c->sent = c->head_size = c->carry_size = 0;
    c->asked_us = now_us();
    asked++;
    push_request(c);
}

/* The reply of c is over, well or not: count it and go on. */
static void over(conn *c, int whole, int reconnect) {
    if (whole && c->status == 200) {
        ok++;
        if (expected && c->pieces != expected) cut++;
    } else {
        failed++;
    }
    if (reconnect || enough()) close(c->fd);
    if (enough()) {
        c->fd = -1;
        live--;
        return;
    }
    if (reconnect) dial(c);
    ask(c);
}

/* Finds stamps, also one that is cut by two reads. */
static void look(conn *c, const char *data, size_t size, double now) {
    static char text[LINE_BYTES + READ_BYTES];
    memcpy(text, c->carry, c->carry_size);
    memcpy(text + c->carry_size, data, size);
    size += c->carry_size;
    size_t from = 0;
    for (char *p; (p = memmem(text + from, size - from, "t=0", 3)) && (size_t)(p - text) + STAMP_BYTES <= size;) {
        from = p - text + 1;
        if (p[STAMP_BYTES - 1] != ';') continue;
        add(&delays, now - strtod(p + 2, NULL));
        c->pieces++;
        from = p - text + STAMP_BYTES;
    }
    if (size - from >= 5 && c->chunked && !memcmp(text + size - 5, "0\r\n\r\n", 5)) c->done = 1;
    c->carry_size = size - from < LINE_BYTES ? size - from : LINE_BYTES;
    memcpy(c->carry, text + size - c->carry_size, c->carry_size);
}

/* Takes the reply's head; returns how many bytes of data belong to it, or -1 while it is not whole. */
static ssize_t take_head(conn *c, const char *data, size_t size) {
    size_t before = c->head_size, room = HEAD_BYTES - 1 - before, n = size < room ? size : room;
    memcpy(c->head + before, data, n);
    c->head_size += n;
    c->head[c->head_size] = 0;
    char *blank = strstr(c->head, "\r\n\r\n");
    if (!blank) return -1;
    *blank = 0;
    c->status = atoi(c->head + 9);
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (length) c->left = atoll(length + 17);
    c->chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
    return blank + 4 - c->head - before;
}

static void receive(conn *c) {
    static char data[READ_BYTES];
    ssize_t n = recv(c->fd, data, sizeof data, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        over(c, 0, 1);
        return;
    }
    double now = now_us();
    ssize_t used = 0;
    if (!c->status && (used = take_head(c, data, n)) < 0) {
        if (c->head_size == HEAD_BYTES - 1) over(c, 0, 1);
        return;
    }
    if (n > used && !c->first_us) add(&firsts, (c->first_us = now) - c->asked_us);
    look(c, data + used, n - used, now);
    if (c->left >= 0) c->done = (c->left -= n - used) <= 0;
    if (c->done) over(c, 1, strcasestr(c->head, "\r\nconnection: close") != NULL);
}

static void read_options(int argc, char **argv) {
    for (int o; (o = getopt(argc, argv, "p:u:c:n:t:e:H:")) != -1;) switch (o) {
        case 'p': port = atoi(optarg); break;
        case 'u': path = optarg; break;
        case 'c': connections = atoi(optarg); break;
        case 'n': limit = atol(optarg); break;
        case 't': limit_s = atof(optarg); break;
        case 'e': expected = atoi(optarg); break;
        case 'H': strncat(strncat(headers, optarg, 2000), "\r\n", 3); break;
        default: exit(2);
    }
    FILE *file = optind < argc ? fopen(argv[optind], "rb") : NULL;
    if (!file || !port || !(limit || limit_s)) {
        fprintf(stderr, "sseload: needs -p, one of -n and -t, and a body file\n");
        exit(2);
    }
    static char body[1 << 20];
    size_t size = fread(body, 1, sizeof body, file);
    int n = asprintf(&request, "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
        "%scontent-length: %zu\r\n\r\n", path, port, headers, size);
    if (n < 0 || !(request = realloc(request, n + size))) exit(1);
    memcpy(request + n, body, size);
    request_size = n + size;
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    poller = epoll_create1(0);
    conn *all = calloc(connections, sizeof *all);
    begun_us = now_us();
    for (int i = 0; i < connections && !enough(); i++, live++) {
        dial(&all[i]);
        ask(&all[i]);
    }
    struct epoll_event events[EVENTS];
    double deadline_us = begun_us + (limit_s + PATIENCE_S) * 1e6;
    while (live && now_us() < deadline_us) {
        int n = epoll_wait(poller, events, EVENTS, 1000);
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) push_request(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
        }
    }
    failed += live;
    double seconds = (now_us() - begun_us) / 1e6;
    qsort(firsts.values, firsts.size, sizeof(float), order);
    qsort(delays.values, delays.size, sizeof(float), order);
    printf("{\"requests\": %ld, \"failed\": %ld, \"short\": %ld, \"seconds\": %.3f, \"pieces\": %zu, \"per_s\": %.1f,"
        " \"first_p50_us\": %.0f, \"first_p99_us\": %.0f, \"delay_p50_us\": %.0f, \"delay_p99_us\": %.0f}\n",
        ok, failed, cut, seconds, delays.size, delays.size / seconds,
        percentile(&firsts, .5), percentile(&firsts, .99), percentile(&delays, .5), percentile(&delays, .99));
}
