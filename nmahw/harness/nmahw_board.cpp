// A board without a board: simulates an accelerator with its host link, and lets standard input and
// output (a pseudo-terminal or a socket, say) be the line. Built with the C++ that Verilator makes of
// nmahw_board, which has either streams of bytes or the pins of a UART.
//
//   --clocks-per-bit=X   for the UART: clock cycles a bit of the host takes (with its baud error)
//   --reset-every=N      pull the reset for four cycles after every N bytes from the host
//   --log=FILE           append a line at the end: cycles simulated, bytes in, bytes out
//
// Time stands still while nothing happens and the host says nothing. Ends with its input.

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <vector>

#include "Vnmahw_board.h"
#include "verilated.h"

using Top = Vnmahw_board;

namespace {

[[noreturn]] void stop(const char* text) {
    std::fprintf(stderr, "%s\n", text);
    std::exit(2);
}

// Bytes from and to the host.
class Line {
public:
    // Reads what there is; waits for it when `wait`. False when the host's end is closed for good.
    bool read_more(bool wait) {
        struct pollfd entry = {0, POLLIN, 0};
        int ready = poll(&entry, 1, wait ? -1 : 0);
        if (ready <= 0) return true;
        unsigned char buffer[4096];
        ssize_t count = read(0, buffer, sizeof buffer);
        if (count <= 0) return false;
        in.insert(in.end(), buffer, buffer + count);
        bytes_in += count;
        return true;
    }
    void flush() {
        size_t done = 0;
        while (done < out.size()) {
            struct pollfd entry = {1, POLLOUT, 0};
            if (poll(&entry, 1, -1) < 0) std::exit(0);
            ssize_t count = write(1, out.data() + done, out.size() - done);
            if (count < 0) std::exit(0);
            done += count;
        }
        bytes_out += done;
        out.clear();
    }
    std::deque<unsigned char> in;
    std::vector<unsigned char> out;
    uint64_t bytes_in = 0, bytes_out = 0;
};

// The host's UART: bit times of its own, so that the two may differ.
class HostUart {
public:
    explicit HostUart(double clocks) : clocks_(clocks) {}
    bool idle() const { return bit_ < 0 && sample_ < 0; }
    // Level of the board's receive pin in this cycle.
    bool send(Line& line) {
        if (bit_ < 0) {
            if (line.in.empty()) return true;
            frame_ = 0x200 | (line.in.front() << 1);  // start, eight bits, stop
            line.in.pop_front();
            bit_ = 0;
            sent_ = 0;
        }
        bool level = frame_ >> bit_ & 1;
        if ((sent_ += 1) >= clocks_) {
            sent_ -= clocks_;
            if (++bit_ == 10) bit_ = -1;
        }
        return level;
    }
    // The board's transmit pin in this cycle.
    void receive(bool level, Line& line) {
        if (sample_ < 0) {
            if (level) return;
            sample_ = 0;
            seen_ = 0;
            got_ = 0;
        }
        seen_ += 1;
        if (seen_ < clocks_ * (sample_ + 0.5)) return;
        if (sample_ == 9) {
            if (level) line.out.push_back(got_);
            sample_ = -1;
        } else {
            if (sample_ > 0) got_ |= (unsigned)level << (sample_ - 1);
            else if (level) { sample_ = -1; return; }
            sample_++;
        }
    }
private:
    double clocks_, sent_ = 0, seen_ = 0;
    int bit_ = -1, sample_ = -1;
    unsigned frame_ = 0, got_ = 0;
};

template <class T> void drive(T& top, Line& line, HostUart& uart, bool& active) {
    if constexpr (requires { top.rx; top.tx; }) {
        top.rx = uart.send(line);
        top.clk = 0;
        top.eval();
        uart.receive(top.tx, line);
        active = !uart.idle() || top.busy;
    } else {
        top.from_host_valid = !line.in.empty();
        if (!line.in.empty()) top.from_host_data = line.in.front();
        top.to_host_ready = 1;
        top.clk = 0;
        top.eval();
        active = top.from_host_valid || top.to_host_valid || top.busy;
        if (top.from_host_valid && top.from_host_ready) line.in.pop_front();
        if (top.to_host_valid) line.out.push_back(top.to_host_data);
    }
    top.clk = 1;
    top.eval();
}

}  // namespace

int main(int count, char** values) {
    double clocks_per_bit = 16;
    uint64_t reset_every = 0;
    std::string log;
    for (int i = 1; i < count; i++) {
        std::string argument = values[i];
        if (argument.rfind("--clocks-per-bit=", 0) == 0)
            clocks_per_bit = std::strtod(argument.c_str() + 17, nullptr);
        else if (argument.rfind("--reset-every=", 0) == 0)
            reset_every = std::strtoull(argument.c_str() + 14, nullptr, 10);
        else if (argument.rfind("--log=", 0) == 0) log = argument.substr(6);
        else stop("arguments must be --clocks-per-bit=X, --reset-every=N or --log=FILE");
    }
    if (!(clocks_per_bit >= 4)) stop("clocks per bit must be at least 4");
    VerilatedContext context;
    Top top{&context};
    Line line;
    HostUart uart(clocks_per_bit);
    uint64_t cycles = 0, quiet = 0, next_reset = reset_every;
    // Longer than any pause of a design that is at work: an image's way from entry to exit counts as
    // busy, what the link does takes some bytes' time.
    const uint64_t rest = 1000 + (uint64_t)(20 * clocks_per_bit);
    bool open = true, active = false;
    top.rst = 1;
    for (int i = 0; i < 4; i++) drive(top, line, uart, active);
    top.rst = 0;
    line.out.clear();
    while (open || quiet <= rest) {
        if (line.in.empty() && open && (quiet > rest || (cycles & 63) == 0)) {
            if (!line.out.empty()) line.flush();
            open = line.read_more(quiet > rest);
            if (!line.in.empty()) quiet = 0;
        }
        if (reset_every && line.bytes_in - line.in.size() >= next_reset) {
            next_reset += reset_every;
            top.rst = 1;
            for (int i = 0; i < 4; i++) drive(top, line, uart, active);
            top.rst = 0;
        }
        drive(top, line, uart, active);
        quiet = active ? 0 : quiet + 1;
        cycles++;
        if (line.out.size() >= 4096 || ((cycles & 255) == 0 && !line.out.empty())) line.flush();
    }
    line.flush();
    top.final();
    if (!log.empty()) {
        if (std::FILE* file = std::fopen(log.c_str(), "a")) {
            std::fprintf(file, "%" PRIu64 " cycles, %" PRIu64 " bytes in, %" PRIu64 " bytes out\n",
                         cycles, line.bytes_in, line.bytes_out);
            std::fclose(file);
        }
    }
    return 0;
}
