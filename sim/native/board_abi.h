/* What Python and the harness of a whole board say to each other, besides wire_abi.h. Plain C declarations only. */

/* The serial line; chances per octet, out of 2^32. */
typedef struct {
  uint64_t seed;
  uint64_t clock_hz; /* Of the board ... */
  uint64_t baud;     /* ... and of the far end of the line. */
  uint32_t to_card_flip_chance; /* Of another bit somewhere in it. */
  uint32_t to_card_loss_chance;
  uint32_t from_card_flip_chance;
  uint32_t from_card_loss_chance;
  uint32_t wake_octet;          /* HW_OCTETS comes with this octet, or once none has come for two octet times. */
  uint32_t reserved;
} hw_uart_config;

/* State that Python looks at without a call. */
typedef struct {
  uint64_t cycle;          /* Time, in clock cycles. */
  uint64_t rx_cycle;       /* The same of the clock that comes from the PHY. */
  uint64_t frame_count;    /* As in the state of the bare NIC. */
  const hw_frame *frames;
  const uint8_t *octets;
  uint64_t frames_total;
  uint64_t rx_frame_count;
  const hw_frame *rx_frames;
  const uint8_t *rx_octets;
  uint64_t rx_frames_total;
  uint64_t uart_count;     /* Octets that have come over the serial line, until hw_uart_clear. */
  const uint8_t *uart_octets;
  uint64_t uart_waiting;   /* Octets for the card that are not on the line yet. */
  uint64_t uart_misframed; /* Octets without a stop bit from the card. */
  uint64_t to_card_flipped, to_card_lost, from_card_flipped, from_card_lost;
  uint32_t leds;
  uint32_t uart_busy;      /* An octet is on the line, or waits for it. */
  uint32_t reserved;
  uint32_t in_frame;       /* Bit 0: a frame is leaving; bit 1: one is coming in, or will. */
} hw_state;

const hw_state *hw_get_state(hw_nic *nic);
/* Periods of the board's clock and of the PHY's, in fs; before anything has run. */
void hw_set_clocks(hw_nic *nic, uint64_t period_fs, uint64_t rx_period_fs);
void hw_uart_configure(hw_nic *nic, const hw_uart_config *config);
void hw_uart_write(hw_nic *nic, const uint8_t *octets, uint64_t count);
void hw_uart_clear(hw_nic *nic);
