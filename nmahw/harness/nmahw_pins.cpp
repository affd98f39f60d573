// Talks to many simulated devices at once over the pins of their UARTs, each of them a bit of the
// words rx and tx. Built with the C++ that Verilator makes of nmahw_pins.
//
//   --lanes=N            devices
//   --clocks-per-bit=X   of the line
//   --quiet=N            clock cycles without a byte after which nothing more is expected
//   --in=FILE            for each device: a count, then so many 32-bit words. Below 256: a byte to
//                        send; above: 256 and the clock cycles for which the line rests
//   --out=FILE           for each device: a count of bytes that came back, and the bytes; last, eight
//                        bytes: clock cycles simulated
//
// Ends when everything was sent and all lines are quiet.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "Vnmahw_pins.h"
#include "verilated.h"

namespace {

[[noreturn]] void stop(const char* text) {
    std::fprintf(stderr, "%s\n", text);
    std::exit(2);
}

struct Sender {
    std::vector<uint32_t> words;
    size_t next = 0;
    unsigned frame = 0;
    int bits_left = 0;
    double at = 0;         // clock cycle of the next change
    bool done() const { return next == words.size() && bits_left == 0; }
    // Level of the line from cycle `now` on; called at every cycle from `at` on.
    bool step(double clocks) {
        if (bits_left == 0) {
            if (next == words.size()) { at = 1e18; return true; }
            uint32_t word = words[next++];
            if (word >= 256) { at += word - 256; return true; }
            frame = 0x200 | word << 1;  // start, eight bits, stop
            bits_left = 10;
        }
        bool level = frame & 1;
        frame >>= 1;
        bits_left--;
        at += clocks;
        return level;
    }
};

struct Receiver {
    std::vector<unsigned char> bytes;
    unsigned got = 0;
    int sample = -1;
    double at = 0;
    void step(bool level, uint64_t now, double clocks) {
        if (sample < 0) {
            if (level) return;
            sample = 0;
            got = 0;
            at = now + clocks / 2;
        } else if (now >= at) {
            at += clocks;
            if (sample == 0) {
                sample = level ? -1 : 1;
            } else if (sample < 9) {
                got |= (unsigned)level << (sample++ - 1);
            } else {
                if (level) bytes.push_back(got);
                sample = -1;
            }
        }
    }
};

uint32_t read_word(std::FILE* file) {
    uint32_t word;
    if (std::fread(&word, 4, 1, file) != 1) stop("the input must be whole");
    return word;
}

}  // namespace

int main(int count, char** values) {
    int lanes = 1;
    double clocks = 16;
    uint64_t quiet = 1000;
    std::string in, out;
    for (int i = 1; i < count; i++) {
        std::string argument = values[i], value = argument.substr(argument.find('=') + 1);
        if (argument.rfind("--lanes=", 0) == 0) lanes = std::atoi(value.c_str());
        else if (argument.rfind("--clocks-per-bit=", 0) == 0) clocks = std::atof(value.c_str());
        else if (argument.rfind("--quiet=", 0) == 0) quiet = std::strtoull(value.c_str(), nullptr, 10);
        else if (argument.rfind("--in=", 0) == 0) in = value;
        else if (argument.rfind("--out=", 0) == 0) out = value;
        else stop("unknown argument");
    }
    if (lanes < 1 || lanes > 64 || !(clocks >= 4)) stop("lanes or clocks per bit out of range");
    std::vector<Sender> senders(lanes);
    std::vector<Receiver> receivers(lanes);
    std::FILE* file = std::fopen(in.c_str(), "rb");
    if (!file) stop("the input must be readable");
    for (auto& sender : senders) {
        sender.words.resize(read_word(file));
        for (auto& word : sender.words) word = read_word(file);
    }
    std::fclose(file);

    VerilatedContext context;
    Vnmahw_pins top{&context};
    const uint64_t all = lanes == 64 ? ~0ull : (1ull << lanes) - 1;
    uint64_t rx = all, now = 0, silent = 0, before = all;
    top.clk = 0;
    for (; silent < quiet; now++, silent++) {
        for (int lane = 0; lane < lanes; lane++) {
            Sender& sender = senders[lane];
            while (now >= sender.at)
                rx = (rx & ~(1ull << lane)) | (uint64_t)sender.step(clocks) << lane;
            if (!sender.done()) silent = 0;
        }
        top.rx = rx;
        top.eval();
        uint64_t tx = top.tx & all;
        if (tx != before) silent = 0;
        before = tx;
        for (int lane = 0; lane < lanes; lane++)
            receivers[lane].step(tx >> lane & 1, now, clocks);
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
    }
    top.final();
    file = std::fopen(out.c_str(), "wb");
    if (!file) stop("the output must be writable");
    for (auto& receiver : receivers) {
        uint32_t size = receiver.bytes.size();
        std::fwrite(&size, 4, 1, file);
        std::fwrite(receiver.bytes.data(), 1, size, file);
    }
    std::fwrite(&now, 8, 1, file);
    if (std::fclose(file)) stop("the output must be writable");
    return 0;
}
