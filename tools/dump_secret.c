#include "tools/dump_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/crypto.h>

/* ---- Files ---- */

/* The start of a file, as far as there is room. Pipes and descriptors (/dev/fd/3) do as well as files; a file must not
 * be open to everybody. */
static int read_file(const struct command *command, const char *path, uint8_t *out, size_t size, size_t *len)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t count = 0;
        struct stat st;
        int code = EXIT_DONE;

        *len = 0;
        if (fd < 0 || fstat(fd, &st) != 0) {
                code = command_failed(command, "cannot read %s: %m.", path);
        } else if (S_ISREG(st.st_mode) && (st.st_mode & S_IRWXO) != 0) {
                code = command_failed(command, "everybody on this machine can open %s: chmod o= %s.", path, path);
        } else {
                while (*len < size && (count = read(fd, out + *len, size - *len)) != 0) {
                        if (count < 0 && errno != EINTR) break;
                        if (count > 0) *len += (size_t)count;
                }
                if (count < 0) code = command_failed(command, "cannot read %s: %m.", path);
        }
        if (fd >= 0) close(fd);
        return code;
}

static int hex_digit(uint8_t byte)
{
        if (byte >= '0' && byte <= '9') return byte - '0';
        if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
        if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
        return -1;
}

/* 64 digits, with or without a line's end, become the 32 bytes in front. */
static bool read_hex(uint8_t *bytes, size_t len)
{
        size_t i;

        if (len == 2 * DUMP_KEY_SIZE + 1 && bytes[len - 1] == '\n') len--;
        if (len != 2 * DUMP_KEY_SIZE) return false;
        for (i = 0; i < DUMP_KEY_SIZE; i++) {
                int high = hex_digit(bytes[2 * i]), low = hex_digit(bytes[2 * i + 1]);

                if (high < 0 || low < 0) return false;
                bytes[i] = (uint8_t)(high << 4 | low);
        }
        return true;
}

static int take_key_file(const struct command *command, const char *path, struct dump_secret_place *place)
{
        size_t len;
        int code = read_file(command, path, place->bytes, sizeof place->bytes, &len);

        if (code != EXIT_DONE) return code;
        if (len != DUMP_KEY_SIZE && !read_hex(place->bytes, len))
                return command_failed(command, "%s is no key file: it must be 32 bytes, or 64 hexadecimal digits.",
                                      path);
        place->secret = (struct dump_secret){false, bytes_of(place->bytes, DUMP_KEY_SIZE)};
        return EXIT_DONE;
}

/* ---- Passphrases ---- */

static int take_passphrase(const struct command *command, struct dump_secret_place *place, size_t len)
{
        const uint8_t *end = memchr(place->bytes, '\n', len);

        if (end != NULL) len = (size_t)(end - place->bytes);
        if (len == 0) return command_failed(command, "the passphrase is empty.");
        if (len > DUMP_PASSPHRASE_MAX)
                return command_failed(command, "the passphrase is longer than %d bytes.", DUMP_PASSPHRASE_MAX);
        place->secret = (struct dump_secret){true, bytes_of(place->bytes, len)};
        return EXIT_DONE;
}

static int take_passphrase_file(const struct command *command, const char *path, struct dump_secret_place *place)
{
        size_t len;
        int code = read_file(command, path, place->bytes, sizeof place->bytes, &len);

        return code == EXIT_DONE ? take_passphrase(command, place, len) : code;
}

static bool say(int fd, const char *text)
{
        return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* One line. False: the terminal has gone, or somebody pressed what interrupts, which is a byte like any other here, so
 * that no signal leaves the terminal without echo. */
static bool read_line(int fd, const char *prompt, uint8_t *out, size_t size, size_t *len)
{
        struct termios before, hidden;
        bool is_open, is_read;

        *len = 0;
        if (tcgetattr(fd, &before) != 0) return false;
        hidden = before;
        hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
        hidden.c_lflag |= ICANON;
        if (tcsetattr(fd, TCSAFLUSH, &hidden) != 0) return false;
        is_open = say(fd, prompt); /* what is typed from here on counts */
        while (is_open && *len < size) {
                ssize_t count = read(fd, out + *len, size - *len);

                if (count < 0 && errno == EINTR) continue;
                if (count <= 0) break;
                *len += (size_t)count;
                if (out[*len - 1] == '\n') break;
        }
        is_read = *len > 0 && memchr(out, before.c_cc[VINTR], *len) == NULL;
        (void)tcsetattr(fd, TCSAFLUSH, &before);
        return say(fd, "\n") && is_read;
}

static int ask(const struct command *command, int fd, bool is_new, struct dump_secret_place *place)
{
        uint8_t again[sizeof place->bytes];
        size_t len, again_len;
        bool is_same;

        if (!read_line(fd, "Passphrase: ", place->bytes, sizeof place->bytes, &len))
                return command_failed(command, "no passphrase was given.");
        if (is_new) {
                is_same = read_line(fd, "Again: ", again, sizeof again, &again_len) && again_len == len &&
                          CRYPTO_memcmp(again, place->bytes, len) == 0;
                OPENSSL_cleanse(again, sizeof again);
                if (!is_same) return command_failed(command, "the passphrases differ.");
        }
        return take_passphrase(command, place, len);
}

static int ask_terminal(const struct command *command, bool is_new, struct dump_secret_place *place)
{
        int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
        int code;

        if (fd < 0)
                return command_failed(command, "there is no terminal to ask for a passphrase: --passphrase-file FILE.");
        code = ask(command, fd, is_new, place);
        close(fd);
        return code;
}

/* ---- From outside ---- */

int dump_secret_read(const struct arguments *arguments, bool is_new, struct dump_secret_place *out)
{
        const struct command *command = arguments->command;
        const char *key_file = argument_option(arguments, "key-file");
        const char *passphrase_file = argument_option(arguments, "passphrase-file");
        bool is_asked = argument_option(arguments, "passphrase") != NULL;
        int code = EXIT_DONE;

        memset(out, 0, sizeof *out);
        if ((key_file != NULL) + (passphrase_file != NULL) + is_asked > 1)
                return command_misused(command, "one of --key-file, --passphrase and --passphrase-file.");
        if (key_file != NULL) code = take_key_file(command, key_file, out);
        if (passphrase_file != NULL) code = take_passphrase_file(command, passphrase_file, out);
        if (is_asked) code = ask_terminal(command, is_new, out);
        out->is_given = code == EXIT_DONE && (key_file != NULL || passphrase_file != NULL || is_asked);
        if (!out->is_given) dump_secret_wipe(out);
        return code;
}

const struct dump_secret *dump_secret_given(const struct dump_secret_place *place)
{
        return place->is_given ? &place->secret : NULL;
}

void dump_secret_wipe(struct dump_secret_place *place)
{
        OPENSSL_cleanse(place, sizeof *place);
}
