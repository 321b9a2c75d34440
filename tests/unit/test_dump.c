#include "engine/dump.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "engine/dump_frame.h"
#include "tests/lib/dumps.h"
#include "tests/lib/heap.h"
#include "tests/lib/test.h"

static const struct owner team = {OWNER_TEAM, {{7, 7}}}, user = {OWNER_USER, {{1, 2, 3}}};
static const struct dump_header header = {
        .store_id = {{9}}, .restore_epoch = 4, .time_ms = 1700000000000, .is_demo = true};

static const uint8_t master[DUMP_KEY_SIZE] = "thirty-two bytes, not one more..";
static const struct dump_secret secret = {false, {master, sizeof master}};

/* Writes; the first failure is the outcome. */
struct script {
        struct memory out;
        const struct dump_key *key; /* NULL: not encrypted */
        struct dump_writer *writer;
        enum result r;
};

static void begin(struct script *script)
{
        script->writer = NULL;
        script->r = dump_writer_open_sealed(&header, script->key, memory_write, &script->out, &script->writer);
}

static void add_owner(struct script *script, struct owner owner)
{
        if (script->r == R_OK) script->r = dump_writer_owner(script->writer, owner);
}

static void add(struct script *script, struct row row, uint64_t revision, struct bytes body)
{
        const struct record record = {revision, body};

        if (script->r == R_OK) script->r = dump_writer_record(script->writer, &row, &record);
}

static void finish(struct script *script)
{
        if (script->r == R_OK) script->r = dump_writer_finish(script->writer);
        dump_writer_close(script->writer);
}

static const struct row profile = {.kind = ROW_PROFILE};

/* A team with a member, and a user with an app that has a job. */
static void write_small(struct script *script)
{
        begin(script);
        add_owner(script, team);
        add(script, (struct row){.kind = ROW_MEMBER, .id = {{1, 2, 3}}}, 2, BYTES("member"));
        add(script, profile, 1, BYTES("the team"));
        add(script, (struct row){.kind = ROW_CHANGE, .revision = 1}, 1, BYTES("made"));
        add_owner(script, user);
        add(script, (struct row){.kind = ROW_APP, .app = {{5}}}, 9,
            BYTES("app app app app app app app app app app app"));
        add(script, (struct row){.kind = ROW_JOB_INPUT, .app = {{5}}, .id = {{6}}}, 10, BYTES("{}"));
        add(script, (struct row){.kind = ROW_JOB, .app = {{5}}, .id = {{6}}}, 10, BYTES("job"));
        add(script, profile, UINT64_MAX, BYTES(""));
        finish(script);
}

static struct memory small(void)
{
        struct script script = {0};

        write_small(&script);
        assert_int_equal(script.r, R_OK);
        return script.out;
}

/* The same, encrypted. */
static struct memory sealed(void)
{
        struct script script = {0};
        struct dump_key key;

        assert_int_equal(dump_key_make(&secret, &key), R_OK);
        script.key = &key;
        write_small(&script);
        assert_int_equal(script.r, R_OK);
        script.out.secret = &secret;
        return script.out;
}

/* On the small dump: the team is as it was; of the user a job's input is new and an app gone; another user is whole,
 * one is gone. */
static struct memory incremental(const struct dump_key *key)
{
        const struct owner gone = {OWNER_USER, {{0, 1}}}, whole = {OWNER_USER, {{2}}};
        struct dump_header made = header;
        struct dump_entry team_entry = {.hash = {4}, .state = {7, 8, 9, 0}};
        struct dump_entry user_entry = {.hash = {5}, .state = {12, 13, 14, 0}};
        struct script script = {0};

        made.is_incremental = true;
        made.base_root_hash[0] = 6;
        made.base_time_ms = 1600000000000;
        assert_int_equal(dump_writer_open_sealed(&made, key, memory_write, &script.out, &script.writer), R_OK);
        assert_int_equal(dump_writer_unchanged(script.writer, team, &team_entry), R_OK);
        assert_int_equal(dump_writer_gone_owner(script.writer, gone), R_OK);
        assert_int_equal(dump_writer_delta(script.writer, user), R_OK);
        assert_int_equal(dump_writer_gone(script.writer, &(struct row){.kind = ROW_APP, .app = {{4}}}), R_OK);
        script.r = R_OK;
        add(&script, (struct row){.kind = ROW_JOB_INPUT, .app = {{5}}, .id = {{7}}}, 11, BYTES("{}"));
        add(&script, profile, 12, BYTES("changed"));
        dump_writer_whole(script.writer, &user_entry);
        add_owner(&script, whole);
        add(&script, profile, 1, BYTES("new"));
        finish(&script);
        assert_int_equal(script.r, R_OK);
        script.out.secret = key == NULL ? NULL : &secret;
        return script.out;
}

static struct memory incremental_sealed(void)
{
        struct dump_key key;

        assert_int_equal(dump_key_make(&secret, &key), R_OK);
        return incremental(&key);
}

/* A damaged copy is found to be one, and where it can be read on, that ends too. */
static struct reading must_be_damaged(struct memory *memory)
{
        struct reading reading = memory_check(memory);

        assert_true(reading.fault_count > 0);
        return reading;
}

/* ---- What is written is read ---- */

/* Every record comes back under its owner, with its name, revision and body, and the header says what was said. */
static void test_round_trip(void **state)
{
        struct memory memory = small();
        struct dump_reader *reader;
        struct dump_record record;
        struct dump_header found;
        struct dump_chunk chunk;

        (void)state;
        assert_int_equal(dump_reader_open(memory_read, &memory, &reader), R_OK);
        assert_int_equal(dump_reader_header(reader, &found), R_OK);
        assert_memory_equal(&found.store_id, &header.store_id, UUID_SIZE);
        assert_int_equal(found.restore_epoch, 4);
        assert_int_equal(found.time_ms, 1700000000000);
        assert_true(found.is_demo && !found.is_partial);

        assert_int_equal(dump_reader_next(reader, &chunk), R_OK);
        assert_true(chunk.is_first && chunk.owner.kind == OWNER_TEAM && uuid_equal(chunk.owner.id, team.id));
        assert_true(dump_chunk_next(&chunk, &record));
        assert_int_equal(record.row.kind, ROW_MEMBER);
        assert_memory_equal(&record.row.id, &user.id, UUID_SIZE);
        assert_true(bytes_equal(record.body, BYTES("member")));
        assert_true(dump_chunk_next(&chunk, &record));
        assert_int_equal(record.row.kind, ROW_PROFILE);
        assert_true(dump_chunk_next(&chunk, &record));
        assert_int_equal(record.row.revision, 1);
        assert_false(dump_chunk_next(&chunk, &record));

        assert_int_equal(dump_reader_next(reader, &chunk), R_OK);
        assert_true(chunk.is_first && chunk.owner.kind == OWNER_USER);
        while (dump_chunk_next(&chunk, &record))
                ;
        assert_int_equal(record.revision, UINT64_MAX);
        assert_int_equal(record.body.len, 0);
        assert_int_equal(dump_reader_next(reader, &chunk), R_ABSENT);
        assert_int_equal(dump_reader_counts(reader)->owners, 2);
        assert_int_equal(dump_reader_counts(reader)->records, 7);
        assert_int_equal(dump_reader_counts(reader)->kinds[ROW_PROFILE], 2);
        assert_int_equal(dump_reader_counts(reader)->size, memory.len);
        dump_reader_close(reader);
        memory_free(&memory);
}

/* The bytes are laid out as dump.h shows: another program can read them by its words alone. */
static void test_golden_bytes(void **state)
{
        static const uint8_t magic[] = {0x89, 0x41, 0x4c, 0x4c, 0x4f, 0x44, 0x0d, 0x0a};
        static const uint8_t chunk_start[] = {0x43, 0, 0, 0};
        static const uint8_t first_record[] = {0x11, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 6, 'M', 1, 2, 3};
        struct memory memory = small();
        size_t header_len, chunk;

        (void)state;
        assert_memory_equal(memory.data, magic, sizeof magic);
        assert_int_equal(memory.data[8], 'H');
        header_len = (size_t)dump_read_number(memory.data + 8 + 4, 4);
        chunk = 8 + DUMP_HEAD_SIZE + header_len;
        assert_memory_equal(memory.data + chunk, chunk_start, 1);
        assert_int_equal(dump_read_number(memory.data + chunk + 12, 8), 1);
        assert_int_equal(memory.data[chunk + 20], 't');
        assert_int_equal(memory.data[chunk + 22], 7);
        if (memory.data[chunk + 1] == 0)
                assert_memory_equal(memory.data + chunk + DUMP_HEAD_SIZE, first_record, sizeof first_record);
        assert_int_equal(memory.data[dump_read_number(memory.data + memory.len - 8, 8)], 'T');
        memory_free(&memory);
}

/* The root hash is of the records alone: another store, time or epoch does not change it, a record does. */
static void test_root_hash(void **state)
{
        struct dump_header other = {.store_id = {{1}}, .time_ms = 1};
        struct memory a = small();
        struct reading one = memory_check(&a), two;
        struct script script = {0};
        int i;

        (void)state;
        assert_int_equal(one.outcome, R_ABSENT);
        for (i = 0; i < 2; i++) {
                assert_int_equal(dump_writer_open(&other, memory_write, &script.out, &script.writer), R_OK);
                script.r = R_OK;
                add_owner(&script, team);
                add(&script, (struct row){.kind = ROW_MEMBER, .id = {{1, 2, 3}}}, 2, BYTES("member"));
                add(&script, profile, 1, BYTES("the team"));
                add(&script, (struct row){.kind = ROW_CHANGE, .revision = 1}, 1, BYTES("made"));
                add_owner(&script, user);
                add(&script, (struct row){.kind = ROW_APP, .app = {{5}}}, 9,
                    BYTES("app app app app app app app app app app app"));
                add(&script, (struct row){.kind = ROW_JOB_INPUT, .app = {{5}}, .id = {{6}}}, 10, BYTES("{}"));
                add(&script, (struct row){.kind = ROW_JOB, .app = {{5}}, .id = {{6}}}, 10, BYTES("job"));
                add(&script, profile, i == 0 ? UINT64_MAX : 11, BYTES(""));
                finish(&script);
                two = memory_check(&script.out);
                assert_int_equal(two.outcome, R_ABSENT);
                assert_int_equal(memcmp(one.root_hash, two.root_hash, SHA256_SIZE) == 0, i == 0);
                memory_free(&script.out);
        }
        memory_free(&a);
}

/* Large owners become many chunks, a record larger than a chunk one by itself, and what was written is read. */
static void test_many_chunks(void **state)
{
        static uint8_t body[3 << 20];
        struct script script = {0};
        struct reading reading;
        uint64_t n;
        size_t i;

        (void)state;
        for (i = 0; i < sizeof body; i++)
                body[i] = (uint8_t)(i * i >> 7);
        begin(&script);
        add_owner(&script, user);
        add(&script, profile, 1, bytes_of(body, sizeof body));
        for (n = 1; n <= 500; n++)
                add(&script, (struct row){.kind = ROW_CHANGE, .revision = n}, n, bytes_of(body + n, 20000));
        finish(&script);
        assert_int_equal(script.r, R_OK);
        reading = memory_check(&script.out);
        assert_int_equal(reading.outcome, R_ABSENT);
        assert_int_equal(reading.fault_count, 0);
        assert_int_equal(reading.counts.records, 501);
        assert_int_equal(reading.counts.chunks, 1 + 500 / ((1 << 20) / 20034) + 1);
        memory_free(&script.out);
}

/* More owners than an index frame has room for give several of them, each naming the one before. */
static void test_many_owners(void **state)
{
        const size_t count = 2 * DUMP_INDEX_OWNERS + 3;
        struct script script = {0};
        struct reading reading;
        size_t i;

        (void)state;
        begin(&script);
        for (i = 0; i < count; i++) {
                struct owner owner = {OWNER_USER, {{0}}};

                dump_write_number(i, 8, owner.id.bytes);
                add_owner(&script, owner);
                add(&script, profile, i, BYTES("p"));
        }
        finish(&script);
        assert_int_equal(script.r, R_OK);
        reading = memory_check(&script.out);
        assert_int_equal(reading.outcome, R_ABSENT);
        assert_int_equal(reading.fault_count, 0);
        assert_int_equal(reading.counts.owners, count);
        memory_free(&script.out);
}

/* A store without owners has a dump too. */
static void test_empty(void **state)
{
        struct script script = {0};
        struct reading reading;

        (void)state;
        begin(&script);
        finish(&script);
        assert_int_equal(script.r, R_OK);
        reading = memory_check(&script.out);
        assert_int_equal(reading.outcome, R_ABSENT);
        assert_int_equal(reading.fault_count, 0);
        memory_free(&script.out);
}

/* ---- Damage ---- */

static void flip_every_bit(struct memory memory)
{
        size_t bit;

        for (bit = 0; bit < 8 * memory.len; bit++) {
                memory.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
                must_be_damaged(&memory);
                memory.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        memory_free(&memory);
}

/* Every single flipped bit is found, in the clear and encrypted. */
static void test_every_bit(void **state)
{
        (void)state;
        flip_every_bit(small());
        flip_every_bit(sealed());
        flip_every_bit(incremental(NULL));
        flip_every_bit(incremental_sealed());
}

static void cut_everywhere(struct memory memory)
{
        size_t len;

        for (len = 0; len <= memory.len + 1; len++) {
                struct memory cut = {.data = malloc(len + (len == 0)), .len = len, .secret = memory.secret};

                assert_non_null(cut.data);
                memcpy(cut.data, memory.data, len <= memory.len ? len : memory.len);
                if (len > memory.len) cut.data[len - 1] = 0;
                if (len == memory.len)
                        assert_int_equal(memory_check(&cut).fault_count, 0);
                else
                        must_be_damaged(&cut);
                memory_free(&cut);
        }
        memory_free(&memory);
}

/* A dump that was cut off is found, wherever it ends; so is one with something behind it. Read from an allocation of
 * just that length. */
static void test_every_length(void **state)
{
        (void)state;
        cut_everywhere(small());
        cut_everywhere(sealed());
        cut_everywhere(incremental(NULL));
        cut_everywhere(incremental_sealed());
}

struct frame_place {
        size_t at, len;
};

static size_t find_frames(const struct memory *memory, struct frame_place *out, size_t max)
{
        size_t at = DUMP_MAGIC_SIZE, count = 0;

        while (at < memory->len - DUMP_END_SIZE) {
                size_t len = DUMP_HEAD_SIZE + (size_t)dump_read_number(memory->data + at + 4, 4);

                assert_true(count < max);
                out[count++] = (struct frame_place){at, len};
                at += len;
        }
        return count;
}

static void append(struct memory *memory, const struct memory *from, struct frame_place place)
{
        assert_int_equal(memory_write(memory, bytes_of(from->data + place.at, place.len)), R_OK);
}

static void move_frames(struct memory memory, size_t expected)
{
        struct frame_place frames[8];
        size_t count = find_frames(&memory, frames, 8);
        size_t i, j, k;

        assert_int_equal(count, expected);
        for (i = 0; i < count; i++) {
                for (j = 0; j < count; j++) { /* i == j: missing; j < i: swapped; j > i: frame i twice, at j */
                        struct memory moved = {.secret = memory.secret};

                        append(&moved, &memory, (struct frame_place){0, DUMP_MAGIC_SIZE});
                        for (k = 0; k < count; k++) {
                                if (i == j && k == i) continue;
                                if (j > i && k == j) append(&moved, &memory, frames[i]);
                                append(&moved, &memory, frames[j < i && k == i ? j : j < i && k == j ? i : k]);
                        }
                        append(&moved, &memory, (struct frame_place){memory.len - DUMP_END_SIZE, DUMP_END_SIZE});
                        must_be_damaged(&moved);
                        memory_free(&moved);
                }
        }
        memory_free(&memory);
}

/* A frame that is missing, that comes twice, or that has changed places with any other is found. */
static void test_moved_frames(void **state)
{
        (void)state;
        move_frames(small(), 5);  /* header, two chunks, index, trailer */
        move_frames(sealed(), 6); /* before them the key's */
        move_frames(incremental(NULL), 6);
        move_frames(incremental_sealed(), 7);
}

/* A chunk of another dump, in its own place, is found where it lies: frames know which dump they are of. */
static void test_frame_of_another_dump(void **state)
{
        struct dump_header other = header;
        struct script script = {0};
        struct memory memory = small();
        struct frame_place frames[8];
        struct reading reading;

        (void)state;
        other.time_ms++;
        assert_int_equal(dump_writer_open(&other, memory_write, &script.out, &script.writer), R_OK);
        add_owner(&script, team);
        add(&script, (struct row){.kind = ROW_MEMBER, .id = {{1, 2, 3}}}, 2, BYTES("member"));
        add(&script, profile, 1, BYTES("the team"));
        add(&script, (struct row){.kind = ROW_CHANGE, .revision = 1}, 1, BYTES("made"));
        finish(&script);
        assert_int_equal(find_frames(&memory, frames, 8), 5);
        assert_int_equal(frames[1].len, DUMP_HEAD_SIZE + dump_read_number(script.out.data + frames[1].at + 4, 4));
        memcpy(memory.data + frames[1].at, script.out.data + frames[1].at, frames[1].len);
        reading = must_be_damaged(&memory);
        assert_int_equal(reading.first.offset, frames[1].at);
        memory_free(&script.out);
        memory_free(&memory);
}

/* A fault is told with owner and offset, and what lies behind it is read: two damaged chunks are two faults. */
static void test_faults_are_named(void **state)
{
        struct memory memory = small();
        struct frame_place frames[8];
        struct reading reading;

        (void)state;
        find_frames(&memory, frames, 8);
        memory.data[frames[1].at + DUMP_HEAD_SIZE + 2] ^= 1;
        reading = memory_check(&memory);
        assert_int_equal(reading.fault_count, 1);
        assert_int_equal(reading.outcome, R_ABSENT);
        assert_true(reading.first.has_owner && reading.first.owner.kind == OWNER_TEAM);
        assert_memory_equal(&reading.first.owner.id, &team.id, UUID_SIZE);
        assert_int_equal(reading.first.offset, frames[1].at);
        assert_int_equal(reading.counts.records, 4);

        memory.data[frames[2].at + DUMP_HEAD_SIZE] ^= 1;
        reading = memory_check(&memory);
        assert_int_equal(reading.fault_count, 2);
        memory_free(&memory);
}

/* What the hashes of a forged dump vouch for is looked at all the same. */
static void test_forged(void **state)
{
        static const struct {
                struct row row;
                const char *text;
        } cases[] = {
                {{.kind = ROW_JOB, .app = {{6}}, .id = {{1}}}, "a record is of an app that is not in the dump"},
                {{.kind = ROW_CHANGE, .revision = 1}, "the owner has no profile"},
        };
        struct script script;
        struct reading reading;
        size_t i;

        (void)state;
        for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                script = (struct script){0};
                begin(&script);
                add_owner(&script, user);
                add(&script, cases[i].row, 1, BYTES("x"));
                finish(&script);
                assert_int_equal(script.r, R_OK);
                reading = must_be_damaged(&script.out);
                assert_string_equal(reading.first.text, cases[i].text);
                assert_true(reading.first.has_owner);
                memory_free(&script.out);
        }
}

/* Seal the second frame of the small dump anew, with this content. */
static void reseal(struct memory *memory, const uint8_t *content, size_t len, struct memory *out)
{
        struct frame_place frames[8] = {0};
        struct dump_frame frame;
        uint8_t head[DUMP_HEAD_SIZE];

        find_frames(memory, frames, 8);
        assert_int_equal(dump_frame_read(memory->data + frames[1].at, &frame), R_OK);
        frame.flags = 0;
        frame.payload_len = frame.content_len = (uint32_t)len;
        assert_int_equal(dump_frame_seal(&frame, memory->data + DUMP_MAGIC_SIZE + 40, bytes_of(content, len), head),
                         R_OK);
        *out = (struct memory){0};
        append(out, memory, (struct frame_place){0, frames[1].at});
        assert_int_equal(memory_write(out, bytes_of(head, sizeof head)), R_OK);
        assert_int_equal(memory_write(out, bytes_of(content, len)), R_OK);
        append(out, memory, (struct frame_place){frames[2].at, memory->len - frames[2].at});
}

/* Records of a chunk whose hash is right: lengths that do not fit, names of no kind, of derived kinds, out of order. */
static void test_forged_records(void **state)
{
        static const uint8_t record[] = {1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 'P', 'x', 'y'};
        static const uint8_t twice[] = {1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'P',
                                        1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'P'};
        static const uint8_t counters[13 + 18] = {18, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'A', [30] = '1'};
        struct memory memory = small(), forged;
        uint8_t copy[sizeof record];
        size_t i;

        (void)state;
        for (i = 0; i < sizeof record; i++) {
                reseal(&memory, record, i, &forged);
                must_be_damaged(&forged);
                memory_free(&forged);
        }
        for (i = 0; i < 14; i++) {
                if (i >= 1 && i <= 8) continue; /* any revision is good */
                memcpy(copy, record, sizeof copy);
                copy[i] ^= 0x81;
                reseal(&memory, copy, sizeof copy, &forged);
                must_be_damaged(&forged);
                memory_free(&forged);
        }
        reseal(&memory, twice, sizeof twice, &forged);
        assert_string_equal(must_be_damaged(&forged).first.text, "records repeat or are not in order");
        memory_free(&forged);
        reseal(&memory, counters, sizeof counters, &forged);
        assert_string_equal(must_be_damaged(&forged).first.text, "a row of the kind counters is no record of a dump");
        memory_free(&forged);
        memory_free(&memory);
}

/* ---- Incremental dumps ---- */

/* What is written is read: what changed, what is gone, and how many owners are as they were. The golden bytes of what
 * is gone are as dump.h shows them. */
static void test_incremental(void **state)
{
        static const uint8_t gone_app[] = {0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'A', 4};
        struct memory memory = incremental(NULL);
        struct reading reading = memory_check(&memory);
        struct dump_reader *reader;
        struct dump_record record = {0};
        struct dump_header found;
        struct dump_chunk chunk;

        (void)state;
        assert_int_equal(reading.outcome, R_ABSENT);
        assert_int_equal(reading.fault_count, 0);
        assert_true(reading.header.is_incremental && reading.header.base_root_hash[0] == 6);
        assert_int_equal(reading.header.base_time_ms, 1600000000000);
        assert_int_equal(reading.counts.owners, 3);
        assert_int_equal(reading.counts.unchanged_owners, 1);
        assert_int_equal(reading.counts.gone_owners, 1);
        assert_int_equal(reading.counts.gone_records, 2);
        assert_int_equal(reading.counts.records, 3);

        memory.at = 0;
        assert_int_equal(dump_reader_open(memory_read, &memory, &reader), R_OK);
        dump_reader_take_incremental(reader);
        assert_int_equal(dump_reader_header(reader, &found), R_OK);
        assert_int_equal(dump_reader_next(reader, &chunk), R_OK);
        assert_true(chunk.is_delta && dump_chunk_next(&chunk, &record) && record.is_gone);
        assert_int_equal(record.row.kind, ROW_PROFILE);
        assert_int_equal(dump_reader_next(reader, &chunk), R_OK);
        assert_memory_equal(chunk.content.data, gone_app, sizeof gone_app);
        assert_true(chunk.is_delta && dump_chunk_next(&chunk, &record) && record.is_gone);
        assert_true(dump_chunk_next(&chunk, &record) && !record.is_gone && record.revision == 11);
        assert_int_equal(dump_reader_next(reader, &chunk), R_OK);
        assert_false(chunk.is_delta);
        dump_reader_close(reader);
        memory_free(&memory);
}

/* Whoever does not know what to do with one is not given any of it. */
static void test_incremental_is_refused(void **state)
{
        struct memory memory = incremental(NULL);
        struct dump_reader *reader;
        struct dump_header found;

        (void)state;
        assert_int_equal(dump_reader_open(memory_read, &memory, &reader), R_OK);
        assert_int_equal(dump_reader_header(reader, &found), R_FORMAT);
        assert_non_null(strstr(dump_reader_fault(reader)->text, "incremental"));
        dump_reader_close(reader);
        memory_free(&memory);
}

/* The index gives each owner that is not gone, in order, over several frames, encrypted or not; a flipped bit in any of
 * what it reads is found. */
static void test_index(void **state)
{
        struct memory memories[] = {incremental(NULL), incremental_sealed()};
        struct dump_fault fault;
        struct dump_entry entry;
        struct dump_index *index;
        size_t i;

        (void)state;
        for (i = 0; i < 2; i++) {
                struct memory *memory = &memories[i];

                assert_int_equal(dump_index_open(memory_read_at, memory, memory->len, memory->secret, &index, &fault),
                                 R_OK);
                assert_true(dump_index_header(index)->is_incremental);
                assert_int_equal(dump_index_next(index, &entry), R_OK);
                assert_true(entry.owner[0] == 't' && entry.hash[0] == 4 && entry.state.revision == 7);
                assert_int_equal(dump_index_next(index, &entry), R_OK);
                assert_true(entry.owner[2] == 1 && entry.hash[0] == 5 && entry.state.keys == 14);
                assert_int_equal(dump_index_next(index, &entry), R_OK);
                assert_int_equal(entry.owner[2], 2);
                assert_int_equal(dump_index_next(index, &entry), R_ABSENT);
                dump_index_close(index);

                memory->data[memory->len - 30] ^= 1;
                assert_int_equal(dump_index_open(memory_read_at, memory, memory->len, memory->secret, &index, &fault),
                                 R_CORRUPT);
                memory_free(memory);
        }
}

/* ---- Encryption ---- */

/* The same records, read with the secret; and nothing of them, nor whose they are, is in the bytes. */
static void test_sealed(void **state)
{
        struct memory memory = sealed(), clear = small();
        struct reading reading = memory_check(&memory), other = memory_check(&clear);
        struct key prefix;
        uint8_t *at;

        (void)state;
        assert_int_equal(reading.outcome, R_ABSENT);
        assert_int_equal(reading.fault_count, 0);
        assert_int_equal(reading.counts.records, 7);
        assert_memory_equal(&reading.header, &other.header, sizeof reading.header);
        assert_memory_equal(reading.root_hash, other.root_hash, SHA256_SIZE);
        key_owner(user, &prefix);
        at = memmem(clear.data, clear.len, prefix.data + 2, UUID_SIZE);
        assert_non_null(at);
        assert_null(memmem(memory.data, memory.len, prefix.data + 2, UUID_SIZE));
        assert_null(memmem(memory.data, memory.len, prefix.data + 2, 4));
        assert_null(memmem(memory.data, memory.len, "member", 6));
        assert_null(memmem(memory.data, memory.len, "app", 3));
        assert_null(memmem(memory.data, memory.len, header.store_id.bytes, UUID_SIZE));
        assert_null(memmem(memory.data, memory.len, reading.root_hash, SHA256_SIZE));
        memory_free(&memory);
        memory_free(&clear);
}

/* Two dumps of the same records with the same secret have no frame in common, nor what tells that the secret fits. */
static void test_keys_differ(void **state)
{
        struct memory one = sealed(), two = sealed();
        size_t i, same = 0;

        (void)state;
        assert_int_equal(one.len, two.len);
        for (i = 0; i < one.len; i++)
                same += one.data[i] == two.data[i];
        assert_true(same < one.len / 2);
        memory_free(&one);
        memory_free(&two);
}

static void must_not_open(const struct dump_secret *given, bool is_encrypted, const char *text)
{
        struct memory memory = is_encrypted ? sealed() : small();
        struct reading reading;

        memory.secret = given;
        reading = memory_check(&memory);
        assert_int_equal(reading.outcome, R_UNAUTHENTICATED);
        assert_string_equal(reading.first.text, text);
        memory_free(&memory);
}

/* No secret, another, or one of the other sort: that is what is said, and not that the dump is damaged. Nor
 * is one read that needs none: whoever has no key could have put it in the place of an encrypted one. */
static void test_wrong_secret(void **state)
{
        uint8_t other[DUMP_KEY_SIZE] = {0};
        const struct dump_secret wrong = {false, {other, sizeof other}};
        const struct dump_secret passphrase = {true, BYTES("correct horse")};

        (void)state;
        must_not_open(NULL, true, "the dump is encrypted, and no key was given");
        must_not_open(&wrong, true, "the key does not fit");
        must_not_open(&passphrase, true, "the dump is encrypted with a key file, not a passphrase");
        must_not_open(&secret, false, "a key was given, and the dump is not encrypted");
        must_not_open(&passphrase, false, "a key was given, and the dump is not encrypted");
}

/* A passphrase opens what it has sealed, another one does not, nor a key file; and a dump that asks for more work than
 * ours do is refused before any is done. */
static void test_passphrase(void **state)
{
        const struct dump_secret right = {true, BYTES("correct horse")}, wrong = {true, BYTES("correct house")};
        struct dump_key key, costly;
        struct script script = {.key = &key};

        (void)state;
        assert_int_equal(dump_key_make(&right, &key), R_OK);
        costly = key;
        write_small(&script);
        assert_int_equal(script.r, R_OK);
        script.out.secret = &right;
        assert_int_equal(memory_check(&script.out).outcome, R_ABSENT);
        assert_int_equal(memory_check(&script.out).fault_count, 0);
        script.out.secret = &wrong;
        assert_string_equal(memory_check(&script.out).first.text, "the key does not fit");
        script.out.secret = &secret;
        assert_string_equal(memory_check(&script.out).first.text,
                            "the dump is encrypted with a passphrase, not with a key file");
        memory_free(&script.out);

        costly.scrypt_log_n = 30;
        assert_int_equal(dump_key_open(&right, &costly), R_CORRUPT);
        costly.scrypt_log_n = key.scrypt_log_n;
        costly.scrypt_p = 1000;
        assert_int_equal(dump_key_open(&right, &costly), R_CORRUPT);
}

/* Who can write to the file and makes good all its hashes, but has no key, is found out: a flipped bit of any frame. */
static void test_forged_sealed(void **state)
{
        struct memory memory = sealed();
        struct frame_place frames[8] = {{0}};
        struct dump_frame frame;
        size_t i;

        (void)state;
        assert_int_equal(find_frames(&memory, frames, 8), 6);
        for (i = 1; i < 6; i++) {
                uint8_t *head = memory.data + frames[i].at;
                struct bytes payload = bytes_of(head + DUMP_HEAD_SIZE, frames[i].len - DUMP_HEAD_SIZE);

                head[DUMP_HEAD_SIZE + 1] ^= 1;
                assert_int_equal(dump_frame_read(head, &frame), R_OK);
                assert_int_equal(
                        dump_frame_seal(&frame, memory.data + DUMP_MAGIC_SIZE + DUMP_BOUND_SIZE, payload, head), R_OK);
                assert_string_equal(must_be_damaged(&memory).first.text, "it does not decrypt");
                head[DUMP_HEAD_SIZE + 1] ^= 1;
                assert_int_equal(
                        dump_frame_seal(&frame, memory.data + DUMP_MAGIC_SIZE + DUMP_BOUND_SIZE, payload, head), R_OK);
        }
        assert_int_equal(memory_check(&memory).fault_count, 0);
        memory_free(&memory);
}

/* HKDF, scrypt and AES-256-GCM as the RFCs and another program have them: the bytes of a dump's key, worked out with
 * Python's hashlib, hmac and nothing of ours. */
static void test_key_vectors(void **state)
{
        const struct dump_secret passphrase = {true, BYTES("correct horse")};
        struct dump_key key = {.salt = {1, 2, 3}};
        static const uint8_t of_file[] = {0x37, 0x69, 0x6f, 0x0b, 0x14, 0xa5, 0x94, 0x28, 0x1d, 0xeb, 0x95, 0xe4,
                                          0x0d, 0xbf, 0x91, 0xc8, 0x3b, 0x54, 0x02, 0x31, 0xaf, 0xb2, 0x39, 0x3b,
                                          0x78, 0x57, 0x1f, 0xcd, 0xed, 0x57, 0xc2, 0xf3, 0x60, 0xb8, 0xad, 0x8e,
                                          0x3a, 0xb2, 0x2c, 0xc5, 0x16, 0x44, 0x8a, 0x45, 0x74, 0xa8, 0xfd, 0xd8};
        static const uint8_t of_passphrase[] = {0x4d, 0x35, 0xc2, 0x55, 0x6a, 0xce, 0x7e, 0x7e, 0x99, 0x48, 0x3d, 0x12,
                                                0x45, 0xa6, 0xac, 0xb8, 0x6c, 0x48, 0xae, 0xe7, 0xe7, 0x8e, 0x0e, 0xf3,
                                                0x5a, 0xc9, 0x00, 0x7e, 0xa3, 0x22, 0xb2, 0x91, 0xd2, 0x98, 0xea, 0x52,
                                                0x45, 0xee, 0xb6, 0x0b, 0x51, 0x87, 0x37, 0xc1, 0xa7, 0x95, 0x8a, 0xc6};

        (void)state;
        memcpy(key.id, of_file + DUMP_KEY_SIZE, DUMP_KEY_ID_SIZE);
        assert_int_equal(dump_key_open(&secret, &key), R_OK);
        assert_memory_equal(key.key, of_file, DUMP_KEY_SIZE);
        key.scrypt_log_n = 16;
        key.scrypt_p = 2;
        memcpy(key.id, of_passphrase + DUMP_KEY_SIZE, DUMP_KEY_ID_SIZE);
        assert_int_equal(dump_key_open(&passphrase, &key), R_OK);
        assert_memory_equal(key.key, of_passphrase, DUMP_KEY_SIZE);
}

/* ---- Failures ---- */

/* Linked in the place of OpenSSL's; the names are the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */
EVP_CIPHER *__real_EVP_CIPHER_fetch(OSSL_LIB_CTX *context, const char *name, const char *properties);
EVP_CIPHER *__wrap_EVP_CIPHER_fetch(OSSL_LIB_CTX *context, const char *name, const char *properties);
int __real_EVP_KDF_derive(EVP_KDF_CTX *context, unsigned char *key, size_t len, const OSSL_PARAM params[]);
int __wrap_EVP_KDF_derive(EVP_KDF_CTX *context, unsigned char *key, size_t len, const OSSL_PARAM params[]);

static bool fetch_fails, derive_fails;

EVP_CIPHER *__wrap_EVP_CIPHER_fetch(OSSL_LIB_CTX *context, const char *name, const char *properties)
{
        return fetch_fails ? NULL : __real_EVP_CIPHER_fetch(context, name, properties);
}

int __wrap_EVP_KDF_derive(EVP_KDF_CTX *context, unsigned char *key, size_t len, const OSSL_PARAM params[])
{
        return derive_fails ? 0 : __real_EVP_KDF_derive(context, key, len, params);
}

/* NOLINTEND(bugprone-reserved-identifier) */

/* A cipher, or a key, that OpenSSL could not give once it gives the next time. Run first: a cipher that was fetched is
 * kept. */
static void test_openssl_fails(void **state)
{
        struct dump_key key = {.salt = {7}}, untouched = key;
        struct dump_cipher *cipher = NULL;

        (void)state;
        derive_fails = true;
        assert_int_equal(dump_key_make(&secret, &key), R_NO_MEMORY);
        assert_memory_equal(&key, &untouched, sizeof key);
        derive_fails = false;
        assert_int_equal(dump_key_make(&secret, &key), R_OK);
        fetch_fails = true;
        assert_int_equal(dump_cipher_open(&key, &cipher), R_NO_MEMORY);
        assert_null(cipher);
        fetch_fails = false;
        assert_int_equal(dump_cipher_open(&key, &cipher), R_OK);
        dump_cipher_close(cipher);
}

/* Out of memory at each allocation, writing and reading: it is said, and nothing leaks. */
static void test_no_memory(void **state)
{
        struct dump_key key;
        struct memory memory = sealed();
        struct reading reading;
        unsigned long n;

        (void)state;
        assert_int_equal(dump_key_make(&secret, &key), R_OK);
        for (n = 1;; n++) {
                struct script script = {.key = &key};

                heap_fail_at(n);
                write_small(&script);
                heap_fail_at(0);
                memory_free(&script.out);
                if (script.r == R_OK) break;
                assert_int_equal(script.r, R_NO_MEMORY);
        }
        assert_true(n > 3);
        for (n = 1;; n++) {
                heap_fail_at(n);
                reading = memory_check(&memory);
                heap_fail_at(0);
                if (reading.outcome == R_ABSENT) break;
                assert_int_equal(reading.outcome, R_NO_MEMORY);
        }
        assert_true(n > 2);
        memory_free(&memory);
}

/* A disk that fails at any byte makes the writing or reading fail with just that. */
static void test_io(void **state)
{
        struct memory memory = small();
        size_t len;

        (void)state;
        for (len = 1; len < memory.len; len++) {
                struct script script = {.out = {.write_room = len}};

                write_small(&script);
                assert_int_equal(script.r, R_IO);
                memory_free(&script.out);
                memory.read_fails = len;
                assert_int_equal(memory_check(&memory).outcome, R_IO);
        }
        memory_free(&memory);
}

/* A body over the bound is refused, not written: nobody could read it back. */
static void test_too_large(void **state)
{
        struct script script = {0};
        uint8_t *body = calloc(1, DUMP_BODY_MAX + 1);

        (void)state;
        assert_non_null(body);
        begin(&script);
        add_owner(&script, user);
        add(&script, profile, 1, bytes_of(body, DUMP_BODY_MAX));
        assert_int_equal(script.r, R_OK);
        add(&script, (struct row){.kind = ROW_CHANGE, .revision = 1}, 1, bytes_of(body, DUMP_BODY_MAX + 1));
        assert_int_equal(script.r, R_TOO_LARGE);
        finish(&script);
        memory_free(&script.out);
        free(body);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_openssl_fails),
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_golden_bytes),
                cmocka_unit_test(test_root_hash),
                cmocka_unit_test(test_many_chunks),
                cmocka_unit_test(test_many_owners),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_every_bit),
                cmocka_unit_test(test_every_length),
                cmocka_unit_test(test_moved_frames),
                cmocka_unit_test(test_frame_of_another_dump),
                cmocka_unit_test(test_faults_are_named),
                cmocka_unit_test(test_forged),
                cmocka_unit_test(test_forged_records),
                cmocka_unit_test(test_incremental),
                cmocka_unit_test(test_incremental_is_refused),
                cmocka_unit_test(test_index),
                cmocka_unit_test(test_sealed),
                cmocka_unit_test(test_keys_differ),
                cmocka_unit_test(test_wrong_secret),
                cmocka_unit_test(test_passphrase),
                cmocka_unit_test(test_forged_sealed),
                cmocka_unit_test(test_key_vectors),
                cmocka_unit_test(test_no_memory),
                cmocka_unit_test(test_io),
                cmocka_unit_test(test_too_large),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
