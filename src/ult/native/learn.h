/* Learns merges from counted patches; ult.owner.bpe.merges does the same in Numba, and says how. */

typedef struct {
    int32_t unit, preceding, following, patch; /* -1: no unit, because it was merged away; no neighbour in the patch */
} Place;

typedef struct {
    uint64_t key;
    int64_t total;      /* how often the pair occurs now */
    int32_t head, tail; /* of the list of places where it occurred */
} Pair;

typedef struct {
    uint64_t key;
    int32_t pair; /* -1 marks an empty slot */
} Slot;

typedef struct {
    int64_t count;
    int32_t pair;
} Entry;

typedef struct {
    int32_t at, next;
} Node;

typedef struct {
    Place *places;
    const int64_t *weight; /* of patches */
    Pair *pairs;
    Slot *slots;
    Node *nodes;
    Entry *heap;
    int64_t many, room, nodes_used, entries, heap_room;
    uint64_t mask;
} Learner;

INLINE uint64_t key_at(const Learner *learner, int32_t at) {
    const Place *place = learner->places + at;
    return (uint64_t)(uint32_t)place->unit << 32 | (uint32_t)learner->places[place->following].unit;
}

INLINE Slot *slot_at(const Learner *learner, uint64_t key) {
    uint64_t at = slot_of(key) & learner->mask;
    while (learner->slots[at].pair >= 0 && learner->slots[at].key != key) at = (at + 1) & learner->mask;
    return learner->slots + at;
}

static int lay_slots(Learner *learner, uint64_t many) {
    Slot *slots = malloc(many * sizeof(Slot));
    if (slots == NULL) return 0;
    free(learner->slots);
    learner->slots = slots;
    learner->mask = many - 1;
    memset(slots, 0xFF, many * sizeof(Slot));
    for (int64_t k = 0; k < learner->many; k++) *slot_at(learner, learner->pairs[k].key) = (Slot){learner->pairs[k].key, (int32_t)k};
    return 1;
}

static int room_for_pair(Learner *learner) {
    if (learner->many < learner->room) return 1;
    int64_t room = 2 * learner->room;
    Pair *pairs = realloc(learner->pairs, room * sizeof(Pair));
    if (pairs == NULL) return 0;
    learner->pairs = pairs;
    learner->room = room;
    return lay_slots(learner, 2 * (uint64_t)room);
}

/* Add a place to the count and the list of the pair there; return whether there is memory for it. */
static int enter(Learner *learner, int32_t at) {
    if (!room_for_pair(learner)) return 0;
    uint64_t key = key_at(learner, at);
    Slot *slot = slot_at(learner, key);
    int32_t node = (int32_t)learner->nodes_used++;
    learner->nodes[node] = (Node){at, -1};
    if (slot->pair < 0) {
        *slot = (Slot){key, (int32_t)learner->many};
        learner->pairs[learner->many++] = (Pair){key, 0, node, node};
    } else {
        Pair *pair = learner->pairs + slot->pair;
        learner->nodes[pair->tail].next = node;
        pair->tail = node;
    }
    learner->pairs[slot->pair].total += learner->weight[learner->places[at].patch];
    return 1;
}

/* Take a place from the count of the pair there; the list keeps it. */
static void leave(Learner *learner, int32_t at) {
    learner->pairs[slot_at(learner, key_at(learner, at))->pair].total -= learner->weight[learner->places[at].patch];
}

INLINE int before(const Learner *learner, Entry a, Entry b) {
    return a.count > b.count ||
           (a.count == b.count && learner->pairs[a.pair].key < learner->pairs[b.pair].key);
}

static int push(Learner *learner, int32_t pair) {
    if (learner->entries == learner->heap_room) {
        Entry *heap = realloc(learner->heap, 2 * learner->heap_room * sizeof(Entry));
        if (heap == NULL) return 0;
        learner->heap = heap;
        learner->heap_room *= 2;
    }
    Entry one = {learner->pairs[pair].total, pair};
    int64_t n = learner->entries++;
    for (; n > 0 && before(learner, one, learner->heap[(n - 1) / 2]); n = (n - 1) / 2)
        learner->heap[n] = learner->heap[(n - 1) / 2];
    learner->heap[n] = one;
    return 1;
}

static Entry pop(Learner *learner) {
    Entry first = learner->heap[0], one = learner->heap[--learner->entries];
    int64_t at = 0, n = learner->entries;
    while (2 * at + 1 < n) {
        int64_t child = 2 * at + 1;
        if (child + 1 < n && before(learner, learner->heap[child + 1], learner->heap[child])) child++;
        if (!before(learner, learner->heap[child], one)) break;
        learner->heap[at] = learner->heap[child];
        at = child;
    }
    learner->heap[at] = one;
    return first;
}

INLINE int stands(const Learner *learner, int32_t pair, int32_t at) {
    const Place *place = learner->places + at;
    return place->unit >= 0 && place->following >= 0 && key_at(learner, at) == learner->pairs[pair].key;
}

typedef struct {
    const int32_t *held, *last, *link;
    const uint64_t *record;
} Holders;

/* Whether at least `limit` distinct records hold the pair; `seen` has room for so many. */
static int held_by(const Learner *learner, const Holders *holders, int32_t pair, int64_t limit, uint64_t *seen) {
    int64_t n = 0;
    for (int32_t node = learner->pairs[pair].head; node >= 0; node = learner->nodes[node].next) {
        int32_t at = learner->nodes[node].at;
        if (!stands(learner, pair, at)) continue;
        int32_t patch = learner->places[at].patch;
        if (holders->held[patch] >= limit) return 1;
        for (int32_t one = holders->last[patch]; one >= 0; one = holders->link[one]) {
            int64_t i = 0;
            while (i < n && seen[i] != holders->record[one]) i++;
            if (i < n) continue;
            seen[n++] = holders->record[one];
            if (n >= limit) return 1;
        }
    }
    return 0;
}

/* Replace every occurrence of the pair by the unit `joined`, from left to right. */
static int join(Learner *learner, int32_t pair, int32_t joined) {
    Place *places = learner->places;
    for (int32_t node = learner->pairs[pair].head; node >= 0; node = learner->nodes[node].next) {
        int32_t at = learner->nodes[node].at;
        if (!stands(learner, pair, at)) continue;
        int32_t other = places[at].following, earlier = places[at].preceding, later = places[other].following;
        if (earlier >= 0) leave(learner, earlier);
        if (later >= 0) {
            leave(learner, other);
            places[later].preceding = at;
        }
        places[at].unit = joined;
        places[other].unit = -1;
        places[at].following = later;
        if ((earlier >= 0 && !enter(learner, earlier)) || (later >= 0 && !enter(learner, at))) return 0;
    }
    learner->pairs[pair].total = 0;
    return 1;
}

static void link_places(Learner *learner, const uint32_t *symbols, const int64_t *ends, int64_t patches) {
    for (int64_t k = 0, at = 0; k < patches; k++)
        for (int64_t begin = at; at < ends[k]; at++) {
            int32_t preceding = at > begin ? (int32_t)at - 1 : -1, following = at + 1 < ends[k] ? (int32_t)at + 1 : -1;
            learner->places[at] = (Place){(int32_t)symbols[at], preceding, following, (int32_t)k};
        }
}

/* Learn up to `most` merges; return how many, or -1 where memory ends. */
static int64_t learn(Learner *learner, int64_t n, const Holders *holders, int32_t alphabet, int64_t most, int64_t limit,
                     uint64_t *seen, int32_t *merges) {
    for (int64_t at = 0; at < n; at++)
        if (learner->places[at].following >= 0 && !enter(learner, (int32_t)at)) return -1;
    int64_t made = 0;
    for (int32_t pushed = 0; made < most;) {
        while (pushed < learner->many)
            if (!push(learner, pushed++)) return -1;
        if (learner->entries == 0) break;
        Entry first = pop(learner);
        int64_t total = learner->pairs[first.pair].total;
        if (total == 0) continue;
        if (total != first.count) {
            if (!push(learner, first.pair)) return -1;
            continue;
        }
        if (limit > 1 && !held_by(learner, holders, first.pair, limit, seen)) continue;
        merges[2 * made] = (int32_t)(learner->pairs[first.pair].key >> 32);
        merges[2 * made + 1] = (int32_t)(uint32_t)learner->pairs[first.pair].key;
        if (!join(learner, first.pair, alphabet + (int32_t)made)) return -1;
        made++;
    }
    return made;
}

/* Learn up to `most` merges over patches, of which patch k is symbols[ends[k - 1]:ends[k]] and occurs weight[k] times,
   into merges[most][2], and count in uses[alphabet + most], which is zero, how often each unit occurs then. Return how
   many merges there are, or -1 where memory ends. */
PUBLIC int64_t ult_learn(const uint32_t *symbols, int64_t n, const int64_t *ends, int64_t patches, const int64_t *weight,
                         const int32_t *held, const int32_t *last, const uint64_t *record, const int32_t *link,
                         int32_t alphabet, int64_t most, int64_t limit, int32_t *merges, int64_t *uses) {
    Learner learner = {0};
    Holders holders = {held, last, link, record};
    learner.weight = weight;
    learner.room = learner.heap_room = 1024;
    learner.places = malloc((n + 1) * sizeof(Place));
    learner.nodes = malloc((3 * n + 1) * sizeof(Node)); /* n at first, two for each of at most n occurrences that merge */
    learner.pairs = malloc(learner.room * sizeof(Pair));
    learner.heap = malloc(learner.heap_room * sizeof(Entry));
    uint64_t *seen = malloc((limit + 1) * sizeof(uint64_t));
    int64_t made = -1;
    if (learner.places && learner.nodes && learner.pairs && learner.heap && seen && lay_slots(&learner, 2048)) {
        link_places(&learner, symbols, ends, patches);
        made = learn(&learner, n, &holders, alphabet, most, limit, seen, merges);
    }
    for (int64_t at = 0; made >= 0 && at < n; at++)
        if (learner.places[at].unit >= 0) uses[learner.places[at].unit] += weight[learner.places[at].patch];
    free(learner.places);
    free(learner.nodes);
    free(learner.pairs);
    free(learner.slots);
    free(learner.heap);
    free(seen);
    return made;
}
