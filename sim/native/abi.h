/* What Python and the harness of the NIC say to each other, besides wire_abi.h. Plain C declarations only. */

typedef struct hw_world hw_world;

/* Kinds of violation. */
enum hw_violation_kind {
  HW_READ_OUTSIDE = 0,  /* A read of a bus word without a single octet that the device may read. */
  HW_WRITE_OUTSIDE = 1, /* A write of an octet that the device may not write. */
  HW_CROSSES_4K = 2,    /* A burst that crosses a 4 KiB border. */
  HW_BAD_BURST = 3,     /* A burst that is not INCR, or wlast at the wrong beat. */
  HW_MMIO_ERROR = 4     /* The device answered a register access with an error. */
};

/* Kinds of event in the log; a and b as said. */
enum hw_event_kind {
  HW_EV_MMIO_WRITE = 0,  /* a: offset, b: value */
  HW_EV_MMIO_READ = 1,   /* a: offset, b: value */
  HW_EV_READ = 2,        /* a: beats, b: address */
  HW_EV_READ_DONE = 3,   /* a: response, b: address */
  HW_EV_WRITE = 4,       /* a: beats, b: address */
  HW_EV_WRITE_DONE = 5,  /* a: response, b: address */
  HW_EV_DESC = 6,        /* a: ring index */
  HW_EV_ARP = 7,         /* a: hit */
  HW_EV_CSUM = 8,
  HW_EV_CPL = 9,         /* a: ring index, b: status */
  HW_EV_FRAME_START = 10,
  HW_EV_FRAME_END = 11,  /* a: octets with FCS, b: flags */
  HW_EV_IRQ = 12,        /* a: new level */
  HW_EV_RX = 13,         /* A received frame is inside, whole and good. */
  HW_EV_RX_CPL = 14,     /* a: ring index, b: status */
  HW_EV_STAGE = 15,      /* The last octets of a frame to send have come from memory. */
  HW_EV_RX_FILTERED = 16, /* A good frame was for somebody else. */
  HW_EV_RX_MISSED = 17   /* There was no room for a good frame. */
};

typedef struct {
  uint64_t cycle;
  uint64_t address;
  uint32_t kind;       /* hw_violation_kind */
  uint32_t descriptor; /* Ring index of the last descriptor decoded; all ones: none yet. */
} hw_violation;

typedef struct {
  uint64_t cycle;
  uint32_t kind; /* hw_event_kind */
  uint32_t a;
  uint64_t b;
} hw_event;

/* The host memory's behaviour on the bus; times in cycles, chances out of 2^32. */
typedef struct {
  uint64_t seed;
  uint32_t read_latency;     /* From the address to the first beat. */
  uint32_t write_latency;    /* From the last beat to the response. */
  uint32_t read_jitter;      /* Up to so much more, at random. */
  uint32_t write_jitter;
  uint32_t read_gap;         /* Pause after each read beat. */
  uint32_t write_gap;
  uint32_t stall_chance;     /* Of a pause after any handshake. */
  uint32_t stall_max;        /* Longest such pause. */
  uint32_t read_outstanding; /* 1 to 64 */
  uint32_t write_outstanding;
  uint32_t reorder;          /* Transactions with different IDs may overtake each other. */
  uint32_t interleave;       /* Beats of reads with different IDs may alternate. */
  uint32_t read_error_chance; /* Per transaction; all beats from a random one on are SLVERR. */
  uint32_t write_error_chance;
  uint64_t read_error_nth;   /* That read, counted from 1, fails; 0: none. */
  uint64_t write_error_nth;
  uint64_t error_start;      /* Accesses from this bus address ... */
  uint64_t error_end;        /* ... up to this one, exclusive, fail. */
} hw_memory_config;

/* State that Python looks at without a call. */
typedef struct {
  uint64_t cycle;         /* Time, in clock cycles, skipped ones included. */
  uint64_t evaluated;     /* Cycles that the model was run for. */
  uint32_t irq;           /* Level of the interrupt line. */
  uint32_t quiet;         /* Nothing is under way in the device or the harness, and no moderation timer runs. */
  uint64_t frame_count;   /* Frames waiting ... */
  const hw_frame *frames; /* ... here ... */
  const uint8_t *octets;  /* ... and here, until hw_clear_frames. */
  uint64_t violation_count;
  const hw_violation *violations;
  uint64_t event_count;
  const hw_event *events;
  uint64_t events_lost;
  uint64_t reads, writes; /* Bus transactions seen. */
  uint64_t errors_injected;
  uint64_t mmio_errors;
  uint64_t frames_total;
  uint64_t rx_frame_count; /* Frames that came in and were recorded, until hw_clear_rx_frames. */
  const hw_frame *rx_frames;
  const uint8_t *rx_octets;
  uint64_t rx_frames_total;
  uint32_t why;            /* hw_reason: what hw_world_run stopped for at this NIC. */
  uint32_t reserved;
} hw_state;

/* One direction of a cable. */
typedef struct {
  uint64_t sent;      /* Frames that were begun. */
  uint64_t delivered; /* Those that have wholly gone in at the other end ... */
  uint64_t cut;       /* ... and those that have not, as the cable was pulled. */
} hw_wire_counters;

const hw_state *hw_get_state(hw_nic *nic);
void hw_set_memory(hw_nic *nic, uint8_t *octets, const uint8_t *shadow, uint64_t base, uint64_t size);
void hw_configure(hw_nic *nic, const hw_memory_config *config);
void hw_set_skipping(hw_nic *nic, int on);
void hw_set_events(hw_nic *nic, uint64_t capacity);
void hw_set_hang(hw_nic *nic, uint64_t cycles);
/* Post `count` register writes: pairs of offset and value. */
void hw_write(hw_nic *nic, const uint32_t *pairs, uint32_t count);
/* Bits 31:0 value, 33:32 response, 63: no answer for hang_cycles. */
uint64_t hw_read32(hw_nic *nic, uint32_t offset);
void hw_clear_violations(hw_nic *nic);
void hw_clear_events(hw_nic *nic);
/* Post `frames` prefilled descriptors in doorbells of `batch`, never more than `in_flight` unsent, with no Python in
   the loop; `tail` is the first index to post. Returns frames sent. */
uint64_t hw_bench_prefilled(hw_nic *nic, uint32_t tail_offset, uint32_t cpl_tail_offset, uint32_t tail, uint32_t mask,
                            uint64_t frames, uint32_t batch, uint32_t in_flight);
/* Lead what a NIC sends to another one of the same world, or (to null) no longer. */
void hw_connect(hw_nic *from, hw_nic *to, uint64_t delay_fs);
void hw_set_wire_up(hw_nic *from, int up);
void hw_get_wire_counters(hw_nic *from, hw_wire_counters *counters);

/* Several NICs, maybe of several libraries. Absolute times are of 128 bits. */
hw_world *hw_world_new(void);
void hw_world_free(hw_world *world);
void hw_world_add(hw_world *world, hw_nic *nic, uint64_t phase_fs_high, uint64_t phase_fs_low, uint64_t period_fs);
void hw_world_set_stop(hw_nic *nic, uint32_t stop_mask);
/* Run for until_fs from now (all ones: for ever) up to the first event; reached_fs is also from now. */
uint32_t hw_world_run(hw_world *world, uint64_t now_fs_high, uint64_t now_fs_low, uint64_t until_fs, uint32_t stop_mask,
                      uint64_t *reached_fs);
uint64_t hw_world_read32(hw_world *world, hw_nic *nic, uint64_t now_fs_high, uint64_t now_fs_low, uint32_t offset,
                         uint64_t *reached_fs);
