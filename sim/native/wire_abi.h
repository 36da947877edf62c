/* What Python and a harness say to each other of the cable, and of a card at all: what the bare NIC and a whole board
   have both. Read by the C++ compiler and by cffi: plain C declarations only. */

typedef struct hw_nic hw_nic;

/* Why hw_run came back; also the mask that says what to stop for. HW_TIME, HW_IDLE and HW_HANG always stop. */
enum hw_reason {
  HW_TIME = 1,       /* until_cycle is reached. */
  HW_IRQ = 2,        /* The interrupt line is high and all posted writes have taken effect. */
  HW_FRAME = 4,      /* A frame has left. */
  HW_VIOLATION = 8,  /* A violation was recorded. */
  HW_IDLE = 16,      /* until_cycle is the largest number, and nothing will ever happen by itself. */
  HW_HANG = 32,      /* The device is busy, but nothing moved on any port for hang_cycles. */
  HW_QUIET = 64,     /* Nothing is under way, no frame waits to be received, and no moderation timer runs. */
  HW_RX_FRAME = 128, /* A frame that is recorded has come in. */
  HW_OCTETS = 256    /* Of a board: octets have come over its serial line. */
};

/* Flags of a frame on the wire. */
enum hw_frame_flag { HW_FCS_OK = 1, HW_PREAMBLE_OK = 2, HW_TX_ER = 4, HW_RUNT = 8 };

typedef struct {
  uint64_t start_cycle; /* Of the first preamble octet. */
  uint64_t end_cycle;   /* Of the last octet. */
  uint64_t offset;      /* Where the frame's octets start in hw_state.octets. */
  uint32_t length;      /* Octets, FCS included, preamble not. */
  uint32_t gap;         /* Octet times of silence since the last frame. */
  uint32_t flags;       /* hw_frame_flag */
  uint32_t reserved;
} hw_frame;

hw_nic *hw_new(void);
void hw_free(hw_nic *nic);
uint32_t hw_run(hw_nic *nic, uint64_t until_cycle, uint32_t stop_mask);
void hw_clear_frames(hw_nic *nic);
/* Write waves of cycles from..to to a file, cycle 0 at phase_fs; 0: this library was built without. */
int hw_waves(hw_nic *nic, const char *path, uint64_t phase_fs, uint64_t period_fs, uint64_t from_cycle,
             uint64_t to_cycle);
/* Put a frame on gmii_rx*, preamble and FCS included, not before start_cycle, and `gap` octet times (at least 1) after
   the one before. `errors` is rx_er of each octet, or null. */
void hw_inject(hw_nic *nic, uint64_t start_cycle, const uint8_t *octets, const uint8_t *errors, uint64_t length,
               uint32_t gap);
/* Whether to record frames that leave, and those that come in. */
void hw_set_recording(hw_nic *nic, int tx, int rx);
void hw_clear_rx_frames(hw_nic *nic);
/* The PHY's link to its partner; autonegotiation takes so many cycles after it comes up. */
void hw_set_link(hw_nic *nic, int up, uint64_t autoneg_cycles);
void hw_set_phy_address(hw_nic *nic, uint32_t address);
