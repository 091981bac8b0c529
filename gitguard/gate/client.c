/* Gate and hook on a server with an agent: ask it, and become what it says. It decides nothing and reads no policy.
 * No answer in time, one that it does not understand, or "decide yourself": it becomes the launcher, which goes the
 * long way. `gitguard admin init` puts the places in. What is said: gitguard/agent/frame.py. sshd starts it as the
 * gate; Git starts it as the hook, by `#!GATE --hook`. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h> /* environ, too */

enum { VERSION = 1, LONGEST = 65536, MOST_FIELDS = 4096, ANSWER_MS = 1000, LONGEST_INPUT = 256 << 20 };
#define MARK "gitguard places"
/* The mark, then socket, the gate's launcher, the hook's, and the uid that opens the socket, each ended by NUL. */
static const volatile char places[4096] = MARK;
static char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)], launcher[2048], owner[16];
static unsigned char question[4 + LONGEST], answer[4 + LONGEST];
static size_t asked = 6; /* behind length, version and letter */
static char *words[MOST_FIELDS + 1], *argv_of[MOST_FIELDS + 1];

/* The place behind `skip` others; 0 if it is empty or does not fit. */
static int place(char *to, size_t room, int skip) {
    size_t at = sizeof MARK, n = 0;
    for (; at < sizeof places && n < room; at++)
        if (skip)
            skip -= !places[at];
        else if (!(to[n++] = places[at]))
            return n > 1;
    return 0;
}

static void end(const char *text, int status) {
    (void)!write(2, text, strlen(text));
    _exit(status);
}

#define CLOSED "gitguard: closed, because its installation is not whole; tell your server admin [internal-error]\n"

/* The long way: the launcher, with all that we were given; as a hook that is 2, to run the repository's other hooks. */
static void decide_yourself(char **argv, int hook) {
    if (*argv && place(launcher, sizeof launcher, hook ? 2 : 1)) {
        argv[0] = launcher;
        if (hook && (argv[1] = hook > 1 ? "--others" : NULL))
            argv[2] = NULL;
        execv(launcher, argv);
    }
    end(CLOSED, 1);
}

/* These texts, up to NULL, behind what is in the question; 0 if they do not fit. */
static int added(char **texts) {
    for (; *texts; texts++) {
        size_t n = strlen(*texts) + 1;
        if (n > sizeof question - asked)
            return 0;
        memcpy(question + asked, *texts, n);
        asked += n;
    }
    return 1;
}

/* Our arguments and environment, as a question of this letter; 0 if they are too long. */
static int put_question(char letter, int argc, char **argv) {
    char count[16];
    snprintf(count, sizeof count, "%d", argc);
    if (!added((char *[]){count, NULL}) || !added(argv) || !added(environ))
        return 0;
    for (int i = 0; i < 4; i++)
        question[i] = (unsigned char)((asked - 4) >> (24 - 8 * i));
    question[4] = VERSION;
    question[5] = (unsigned char)letter;
    return 1;
}

/* The agent's socket, if it listens and root or the agent's account opened it; else -1. */
static int connected(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t size = sizeof peer;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, socket_path, sizeof socket_path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) || (peer.uid != 0 && peer.uid != (uid_t)atoi(owner)))
        return -1;
    return fd;
}

/* These bytes with these handles, in one piece or not at all. */
static int sent(int fd, void *bytes, size_t length, const int *handles, size_t count) {
    union { struct cmsghdr head; char room[CMSG_SPACE(3 * sizeof(int))]; } control;
    struct iovec part = {bytes, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room,
                             .msg_controllen = count ? CMSG_SPACE(count * sizeof(int)) : 0};
    memset(&control, 0, sizeof control);
    control.head = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), handles, count * sizeof(int));
    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)length;
}

/* The answer's letter, its fields in `words`; 0 if none comes within `ms` (-1: however long), or no whole one. */
static char received(int fd, int ms) {
    struct timespec now, began;
    size_t got = 0, length = 0, count = 0;
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (size_t whole = 4; got < whole; whole = 4 + length) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int left = ms - (int)((now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000);
        struct pollfd one = {fd, POLLIN, 0};
        if ((ms >= 0 && left <= 0) || (poll(&one, 1, ms < 0 ? -1 : left) < 0 && errno != EINTR))
            return 0;
        ssize_t n = recv(fd, answer + got, whole - got, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return n ? 0 : 'l'; /* it hung up */
        got += n > 0 ? (size_t)n : 0;
        if (got >= 4)
            length = (size_t)answer[0] << 24 | (size_t)answer[1] << 16 | (size_t)answer[2] << 8 | answer[3];
        if (got >= 4 && (length < 2 || length > LONGEST))
            return 0;
    }
    if (answer[4] != VERSION || (length > 2 && answer[got - 1]))
        return 0;
    for (size_t at = 6; at < got; at += strlen((char *)answer + at) + 1) {
        if (count == MOST_FIELDS)
            return 0;
        words[count++] = (char *)answer + at;
    }
    words[count] = NULL;
    return (char)answer[5];
}

/* The file, the number of its words, the words, its environment; returns where that cannot be. */
static void become(void) {
    int n = words[0] && words[1] ? atoi(words[1]) : 0;
    for (int i = 0; i < n && i < MOST_FIELDS; i++)
        if (!(argv_of[i] = words[2 + i]))
            return;
    if (n > 0 && n < MOST_FIELDS)
        execve(words[0], argv_of, words + 2 + n);
}

/* What the agent says is done; returns where it is sure that nothing has begun. */
static void obey(int fd, char **argv, int hook) {
    for (int lent = 0, begun = 0;;) {
        char letter = received(fd, begun ? -1 : ANSWER_MS);
        size_t digits = letter == 'e' && begun && words[0] ? strspn(words[0], "0123456789") : 0;
        if ((letter == 'y' && hook) || (digits && digits < 4 && !words[0][digits] && atoi(words[0]) < 256))
            _exit(letter == 'y' ? 0 : atoi(words[0]));
        if (letter == 'x' && !hook && begun == lent)
            become();
        if (letter == 'r' && hook && begun == lent)
            decide_yourself(argv, 2);
        if (letter == 'o' && !lent && sent(fd, "s", 1, (int[]){0, 1, 2}, 3))
            lent = 1;
        else if (letter == 'b' && lent && !begun)
            begun = 1;
        else if (begun || (lent && letter != 'l'))
            end("gitguard: the server's agent stopped in the middle of this; see what was done: 2fa status [agent-unavailable]\n", 40);
        else
            return;
    }
}

/* All that Git says, kept as a file that agent and launcher can both read; -1 where none can be made. */
static int kept_input(void) {
    static char part[65536];
    ssize_t n = 0;
    size_t all = 0;
    struct rlimit most; /* of a file's size: it holds for such files, too */
    int fd = getrlimit(RLIMIT_FSIZE, &most) || most.rlim_cur < 2 * LONGEST_INPUT ? -1 : memfd_create("push", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    while (all <= LONGEST_INPUT && ((n = read(0, part, sizeof part)) > 0 || (n < 0 && errno == EINTR)))
        for (ssize_t done = 0, m; done < n; done += m, all += (size_t)m)
            if ((m = write(fd, part + done, (size_t)(n - done))) < 0)
                end(CLOSED, 1);
    if (n < 0 || lseek(fd, 0, SEEK_SET) || dup2(fd, 0) < 0)
        end(CLOSED, 1);
    return fd;
}

int main(int argc, char **argv) {
    int hook = argc > 1 && !strcmp(argv[1], "--hook"), handles[2] = {-1, -1}, fd = -1;
    for (int i = 0; i < 3; i++)
        if (argc < 1 || fcntl(i, F_GETFD) < 0)
            decide_yourself(argv, hook);
    if ((hook && ((handles[0] = open(".", O_PATH | O_CLOEXEC)) < 0 || (handles[1] = kept_input()) < 0)) ||
        !place(socket_path, sizeof socket_path, 0) || !place(owner, sizeof owner, 3) ||
        !put_question(hook ? 'h' : 'g', argc - 1, argv + 1) || (fd = connected()) < 0 ||
        !sent(fd, question, asked, handles, hook ? 2 : 0))
        decide_yourself(argv, hook);
    obey(fd, argv, hook);
    decide_yourself(argv, hook);
}
