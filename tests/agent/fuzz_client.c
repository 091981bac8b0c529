/* libFuzzer on what a client makes of an answer: whatever bytes come, no memory but its own is touched, and what it
 * would become is made of whole fields. `make fuzz` runs it for ten minutes.
 */
#define main client_main
#include "../../gitguard/gate/client.c"
#undef main

static volatile size_t seen;

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    int pair[2];
    if (size > sizeof answer || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return 0;
    (void)!write(pair[1], data, size);
    close(pair[1]);
    if (received(pair[0], 100))
        for (char **word = words; *word; word++)
            seen += strlen(*word);
    int count = words[0] && words[1] ? atoi(words[1]) : 0;
    for (int i = 0; i < count && i < MOST_FIELDS && words[2 + i]; i++)
        seen += strlen(words[2 + i]);
    close(pair[0]);
    words[0] = NULL;
    return 0;
}
