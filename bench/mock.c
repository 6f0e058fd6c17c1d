/* A mock of an OpenAI-compatible provider that is far faster than any gateway before it. One thread, epoll.
 *
 *     mock [PORT]
 *
 * Each POST is a chat completion, each GET lists models. The model's name steers the reply:
 *     mock                 at once: 1 KiB, or a stream of 100 pieces without a pause
 *     mock-n20-d100-f500   20 pieces, 100 ms apart, the first after 500 ms (at most -n9999)
 * Each piece of a stream holds "t=<16 digits>;", the microsecond of CLOCK_MONOTONIC when it was sent, from which
 * a client on the same machine tells how long it was on its way.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_BYTES = 1024, READ_BYTES = 4096, EVENTS = 512 };

typedef struct buffer { char *data; size_t size, capacity; } buffer;

typedef struct conn {
    int fd;
    buffer in, out;
    char model[64];
    int streams;                /* the reply in progress is a stream */
    int pieces, sent, pause_ms; /* of that stream */
    unsigned long long start_us, due_us; /* when the reply began, when to go on; due 0: not waiting */
    struct conn *prev, *next;   /* among the waiting */
} conn;

static int poller;
static conn waiting = {.prev = &waiting, .next = &waiting};
static buffer plain_reply;

static unsigned long long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void reserve(buffer *b, size_t more) {
    if (b->size + more <= b->capacity) return;
    b->capacity = (b->size + more) * 2;
    if (!(b->data = realloc(b->data, b->capacity))) die("realloc");
}

static void append(buffer *b, const char *data, size_t size) {
    reserve(b, size);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void consume(buffer *b, size_t size) {
    memmove(b->data, b->data + size, b->size -= size);
}

static void watch(conn *c, int also_writable) {
    struct epoll_event e = {.events = EPOLLIN | (also_writable ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

/* Sends what the socket takes of data; the rest waits in c->out. A dead peer shows as EPOLLHUP later. */
static void put(conn *c, const char *data, size_t size) {
    if (!c->out.size) {
        ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
        if (n < 0) n = 0;
        data += n;
        size -= n;
        if (!size) return;
        watch(c, 1);
    }
    append(&c->out, data, size);
}

static void flush(conn *c) {
    ssize_t n = send(c->fd, c->out.data, c->out.size, MSG_NOSIGNAL);
    if (n > 0) consume(&c->out, n);
    if (!c->out.size) watch(c, 0);
}

static void wait_until(conn *c, unsigned long long us) {
    c->due_us = us;
    c->next = &waiting;
    c->prev = waiting.prev;
    c->prev->next = waiting.prev = c;
}

static void stop_waiting(conn *c) {
    if (!c->due_us) return;
    c->prev->next = c->next;
    c->next->prev = c->prev;
    c->due_us = 0;
}

static void put_frame(conn *c, const char *json, int size) {
    char frame[1024];
    int n = snprintf(frame, sizeof frame, "%x\r\ndata: %.*s\n\n\r\n", size + 8, size, json);
    put(c, frame, n);
}

#define HEAD "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"%s\","
#define CHOICE "\"choices\":[{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}]}"

static void put_piece(conn *c) {
    char json[800], delta[80];
    snprintf(delta, sizeof delta, "%s\"content\":\" t=%016llu;\"", c->sent ? "" : "\"role\":\"assistant\",", now_us());
    c->sent++;
    put_frame(c, json, snprintf(json, sizeof json, HEAD CHOICE, c->model, delta, "null"));
}

static void put_end(conn *c) {
    char json[800];
    put_frame(c, json, snprintf(json, sizeof json, HEAD CHOICE, c->model, "", "\"stop\""));
    put_frame(c, json, snprintf(json, sizeof json, HEAD
        "\"choices\":[],\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":%d,\"total_tokens\":%d}}",
        c->model, c->pieces, 200 + c->pieces));
    put_frame(c, "[DONE]", 6);
    put(c, "0\r\n\r\n", 5);
    c->streams = 0;
}

/* Goes on with the reply until it is over or has to wait. */
static void reply(conn *c) {
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                               "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
    if (!c->streams) {
        put(c, plain_reply.data, plain_reply.size);
        return;
    }
    if (!c->sent) put(c, head, sizeof head - 1);
    while (c->sent < c->pieces) {
        put_piece(c);
        if (c->pause_ms) {
            wait_until(c, c->start_us + c->sent * c->pause_ms * 1000ull);
            return;
        }
    }
    put_end(c);
}

static int parameter(const char *model, char letter, int otherwise) {
    for (const char *p = model; (p = strchr(p, '-')); p++)
        if (p[1] == letter && p[2] >= '0' && p[2] <= '9') return atoi(p + 2);
    return otherwise;
}

static void answer(conn *c, const char *head, const char *body, size_t size) {
    static const char models[] = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 87\r\n\r\n"
        "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\",\"created\":0,\"owned_by\":\"mock\"}]}";
    if (!strncmp(head, "GET ", 4)) {
        put(c, models, sizeof models - 1);
        return;
    }
    size_t n = 0;
    const char *p = memmem(body, size, "\"model\"", 7), *end = body + size;
    if (p && (p = memchr(p + 7, '"', end - p - 7)))
        for (p++; p < end && *p != '"' && n < sizeof c->model - 1; p++) c->model[n++] = *p;
    c->model[n] = 0;
    c->streams = memmem(body, size, "\"stream\":true", 13) || memmem(body, size, "\"stream\": true", 14);
    c->pieces = parameter(c->model, 'n', 100);
    c->pause_ms = parameter(c->model, 'd', 0);
    c->sent = 0;
    int first_ms = parameter(c->model, 'f', 0);
    c->start_us = now_us() + first_ms * 1000ull;
    if (first_ms) wait_until(c, c->start_us);
    else reply(c);
}

/* Answers as many whole requests as have come, one after the other. */
static void serve(conn *c) {
    while (c->in.size && !c->streams && !c->due_us) {
        reserve(&c->in, 1);
        c->in.data[c->in.size] = 0;
        char *blank = strstr(c->in.data, "\r\n\r\n");
        if (!blank) return;
        *blank = 0;
        char *length = strcasestr(c->in.data, "\r\ncontent-length:");
        char *chunked = strcasestr(c->in.data, "\r\ntransfer-encoding: chunked");
        *blank = '\r';
        char *body = blank + 4;
        size_t head_size = body - c->in.data, size = length ? strtoul(length + 17, NULL, 10) : 0;
        if (chunked) { /* the chunk heads stay between the bytes: nothing here minds */
            char *end = memmem(body, c->in.size - head_size, "\r\n0\r\n\r\n", 7);
            if (!end) return;
            size = end + 7 - body;
        }
        if (c->in.size < head_size + size) return;
        answer(c, c->in.data, body, size);
        consume(&c->in, head_size + size);
    }
}

static void go_on(unsigned long long now) {
    for (conn *c = waiting.next, *next; c != &waiting; c = next) {
        next = c->next;
        if (c->due_us > now) continue;
        stop_waiting(c);
        reply(c);
        serve(c);
    }
}

static void drop(conn *c) {
    stop_waiting(c);
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
}

static void receive(conn *c) {
    for (;;) {
        reserve(&c->in, READ_BYTES);
        ssize_t n = recv(c->fd, c->in.data + c->in.size, READ_BYTES, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            drop(c);
            return;
        }
        if (n > 0) c->in.size += n;
        if (n < READ_BYTES) break;
    }
    serve(c);
}

static void welcome(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        conn *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
    }
}

static void prepare_plain_reply(void) {
    static const char start[] = "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion\",\"created\":1700000000,"
        "\"model\":\"mock\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"";
    static const char end[] = "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":150,\"total_tokens\":350}}";
    char head[128];
    int n = snprintf(head, sizeof head,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n", REPLY_BYTES);
    append(&plain_reply, head, n);
    append(&plain_reply, start, sizeof start - 1);
    for (size_t i = sizeof start + sizeof end - 2; i < REPLY_BYTES; i++) append(&plain_reply, i % 6 ? "a" : " ", 1);
    append(&plain_reply, end, sizeof end - 1);
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 28480, on = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) die("listen");
    prepare_plain_reply();
    poller = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    for (unsigned long long last_ms = 0;;) {
        int n = epoll_wait(poller, events, EVENTS, waiting.next == &waiting ? -1 : 1);
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (!c) {
                welcome(listener);
                continue;
            }
            if (events[i].events & EPOLLOUT) flush(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
        }
        unsigned long long now = now_us();
        if (now / 1000 != last_ms) { /* the list is long with many slow streams: once a millisecond is enough */
            last_ms = now / 1000;
            go_on(now);
        }
    }
}
