// Streams images through an emitted accelerator, at a native simulator's speed, and records
// every answer. Built with the C++ that Verilator makes of nmahw_top; knows nothing of the
// network but how many elements go in and come out of an image.
//
//   --images=FILE       bits of s_axis_tdata of each element, uint32 little-endian, image after
//                       image
//   --result=FILE       what to write (layout: `write_result` below)
//   --inputs=N          elements of one input image
//   --outputs=N         elements of one answer
//   --passes=N          passes of the accelerator's program
//   --stall-seed=N      seed of the random stalls
//   --stall-in=P        probability that no input is offered in a cycle (0..1)
//   --stall-out=P       probability that no output is accepted in a cycle (0..1)
//   --reset-cycle=N     reset in this cycle, then go on with the first unanswered image
//   --watchdog=N        cycles without any progress after which the design is given up
//   --first-image=N     what the first image is called in messages
//   --weights=FILE      bytes to load first, for a design whose weights are loaded
//   --trace-image=N     record the results written to activation memory for this image
//
// Exit codes: 0 done; 2 usage or file; 3 the design broke a rule or stopped (text on stderr).
// Standard output gets the number of answered images, a line each time some more are.

#include <chrono>
#include <cinttypes>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "Vnmahw_top.h"
#include "verilated.h"

// What one design's simulation need not be told again.
#ifndef NMAHW_INPUTS
#define NMAHW_INPUTS 0
#define NMAHW_OUTPUTS 0
#define NMAHW_PASSES 0
#endif

using Top = Vnmahw_top;

namespace {

[[noreturn]] void stop(int code, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fputc('\n', stderr);
    std::exit(code);
}

struct Options {
    std::string images, result, weights;
    uint64_t inputs = NMAHW_INPUTS, outputs = NMAHW_OUTPUTS, passes = NMAHW_PASSES;
    uint64_t stall_seed = 0, watchdog = 1'000'000, first_image = 0;
    int64_t reset_cycle = -1, trace_image = -1;
    double stall_in = 0, stall_out = 0;
};

Options parse(int count, char** values) {
    Options options;
    for (int i = 1; i < count; i++) {
        std::string argument = values[i];
        auto equals = argument.find('=');
        if (argument.rfind("--", 0) != 0 || equals == std::string::npos)
            stop(2, "argument must be --name=value, not %s", values[i]);
        std::string name = argument.substr(2, equals - 2), value = argument.substr(equals + 1);
        auto number = [&] { return std::strtoull(value.c_str(), nullptr, 0); };
        if (name == "images") options.images = value;
        else if (name == "result") options.result = value;
        else if (name == "weights") options.weights = value;
        else if (name == "inputs") options.inputs = number();
        else if (name == "outputs") options.outputs = number();
        else if (name == "passes") options.passes = number();
        else if (name == "stall-seed") options.stall_seed = number();
        else if (name == "stall-in") options.stall_in = std::strtod(value.c_str(), nullptr);
        else if (name == "stall-out") options.stall_out = std::strtod(value.c_str(), nullptr);
        else if (name == "reset-cycle") options.reset_cycle = (int64_t)number();
        else if (name == "watchdog") options.watchdog = number();
        else if (name == "first-image") options.first_image = number();
        else if (name == "trace-image") options.trace_image = (int64_t)number();
        else stop(2, "unknown argument --%s", name.c_str());
    }
    if (options.images.empty() || options.result.empty() || !options.inputs || !options.outputs
        || !options.passes)
        stop(2, "--images, --result, --inputs, --outputs and --passes must be given");
    return options;
}

std::vector<uint32_t> read_images(const Options& options) {
    std::FILE* file = std::fopen(options.images.c_str(), "rb");
    if (!file) stop(2, "cannot read %s", options.images.c_str());
    std::fseek(file, 0, SEEK_END);
    long bytes = std::ftell(file);
    std::rewind(file);
    std::vector<uint32_t> data(bytes / 4);
    bool whole = std::fread(data.data(), 4, data.size(), file) == data.size();
    std::fclose(file);
    if (!whole || data.empty() || data.size() % options.inputs)
        stop(2, "%s must hold whole images of %" PRIu64 " 32-bit elements", options.images.c_str(),
             options.inputs);
    return data;
}

// Random stalls: xorshift64*, seeded through splitmix64 so that any seed is a good one.
class Coin {
public:
    Coin(uint64_t seed, double probability)
        : threshold_(probability <= 0 ? 0 : (uint64_t)(probability * 4294967296.0)) {
        uint64_t z = seed + 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        state_ = (z ^ (z >> 31)) | 1;
    }
    bool stalls() {
        if (!threshold_) return false;
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return ((state_ * 0x2545f4914f6cdd1d) >> 32) < threshold_;
    }
private:
    uint64_t threshold_, state_;
};

std::vector<unsigned char> read_bytes(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (!file) stop(2, "cannot read %s", path.c_str());
    std::vector<unsigned char> data;
    for (int byte; (byte = std::fgetc(file)) != EOF;) data.push_back((unsigned char)byte);
    std::fclose(file);
    return data;
}

// Fills the memory of a design whose weights are loaded, and reads all of it back.
template <class T> void load_weights(T& top, const std::vector<unsigned char>& bytes) {
    if constexpr (requires { top.load_address; top.load_read; }) {
        auto tick = [&] {
            top.clk = 0;
            top.eval();
            top.clk = 1;
            top.eval();
        };
        top.load_enable = top.load_write = 1;
        for (size_t i = 0; i < bytes.size(); i++) {
            top.load_address = i;
            top.load_data = bytes[i];
            tick();
        }
        top.load_write = 0;
        for (size_t i = 0; i < bytes.size(); i++) {
            top.load_address = i;
            tick();
            tick();
            if (top.load_read != bytes[i])
                stop(3, "byte %zu of the weights must be 0x%02x, as loaded, not 0x%02x", i,
                     (unsigned)bytes[i], (unsigned)top.load_read);
        }
        top.load_enable = 0;
    } else if (!bytes.empty()) {
        stop(2, "the design has no memory to load weights into");
    }
}

struct TraceWrite { int64_t layer, address, data, cycle; };

// The trace ports are optional; a top without them compiles just the same.
template <class T> void record_trace(T& top, int64_t cycle, std::vector<TraceWrite>& trace) {
    if constexpr (requires { top.trace_valid; top.trace_layer; top.trace_address; top.trace_data; })
        if (top.trace_valid)
            trace.push_back({(int64_t)top.trace_layer, (int64_t)top.trace_address,
                             (int64_t)top.trace_data, cycle});
}

class Bench {
public:
    explicit Bench(const Options& options)
        : options_(options), data_(read_images(options)),
          images_(data_.size() / options.inputs), offer_(options.stall_seed * 2, options.stall_in),
          accept_(options.stall_seed * 2 + 1, options.stall_out),
          answers_(images_ * options.outputs), cycles_(images_ * options.passes),
          times_(images_ * 2) {}

    void run() {
        using clock = std::chrono::steady_clock;
        auto shown = clock::now();
        top_.m_axis_tready = 0;
        if (!options_.weights.empty()) load_weights(top_, read_bytes(options_.weights));
        reset();
        while (out_image_ < images_) {
            if (now_ == options_.reset_cycle) reset();
            step();
            if (idle_ > options_.watchdog) give_up();
            if ((now_ & 1023) == 0 && clock::now() - shown > std::chrono::milliseconds(200)) {
                shown = clock::now();
                report();
            }
        }
        report();
        top_.final();
    }

    // All int64, little-endian: magic, version, images, outputs, passes, total cycles, frame
    // errors, trace records; the answers (raw port bits) [images][outputs]; busy cycles
    // [images][passes]; cycle of the first input and of the last output [images][2];
    // trace records [layer, address, data (raw port bits), cycle].
    void write_result() const {
        std::string temporary = options_.result + ".part";
        std::FILE* file = std::fopen(temporary.c_str(), "wb");
        if (!file) stop(2, "cannot write %s", temporary.c_str());
        int64_t header[8] = {0x4d495357'48414d4e, 1, (int64_t)images_, (int64_t)options_.outputs,
                             (int64_t)options_.passes, now_, frame_errors_,
                             (int64_t)trace_.size()};
        bool good = put(file, header, 8) && put(file, answers_.data(), answers_.size())
            && put(file, cycles_.data(), cycles_.size()) && put(file, times_.data(), times_.size())
            && put(file, (const int64_t*)trace_.data(), trace_.size() * 4);
        good = (std::fclose(file) == 0) && good;
        if (!good || std::rename(temporary.c_str(), options_.result.c_str()))
            stop(2, "cannot write %s", options_.result.c_str());
    }

private:
    static bool put(std::FILE* file, const int64_t* values, size_t count) {
        return std::fwrite(values, sizeof *values, count, file) == count;
    }

    void report() const {
        std::printf("%" PRIu64 "\n", out_image_);
        std::fflush(stdout);
    }

    void tick() {
        top_.clk = 1;
        top_.eval();
        now_++;
    }

    // Whatever was in flight is lost; go on with the first image that has no whole answer.
    void reset() {
        in_image_ = out_image_;
        in_index_ = out_index_ = 0;
        offering_ = was_waiting_ = was_busy_ = false;
        last_layer_ = -1;
        pass_image_ = (int64_t)out_image_ - 1;
        for (size_t i = out_image_ * options_.passes; i < cycles_.size(); i++) cycles_[i] = 0;
        top_.s_axis_tvalid = 0;
        top_.rst = 1;
        for (int i = 0; i < 2; i++) {
            top_.clk = 0;
            top_.eval();
            tick();
        }
        top_.rst = 0;
        idle_ = 0;
    }

    void step() {
        if (!offering_ && in_image_ < images_ && !offer_.stalls()) offering_ = true;
        top_.s_axis_tvalid = offering_;
        // Without tvalid the other lines mean nothing: drive what would do harm if it did.
        top_.s_axis_tdata = offering_ ? data_[in_image_ * options_.inputs + in_index_] : 0x55;
        top_.s_axis_tlast = !offering_ || in_index_ + 1 == options_.inputs;
        top_.m_axis_tready = !accept_.stalls();
        top_.clk = 0;
        top_.eval();
        idle_++;
        if (offering_ && top_.s_axis_tready) sent();
        watch_passes();
        watch_output();
        tick();
    }

    void sent() {
        if (in_index_ == 0) times_[in_image_ * 2] = now_;
        offering_ = false;
        idle_ = 0;
        if (++in_index_ == options_.inputs) {
            in_index_ = 0;
            in_image_++;
        }
    }

    // A new image's passes begin when the index falls, or stays after a pause.
    void watch_passes() {
        if (top_.frame_error) frame_errors_++;
        bool busy = top_.busy;
        if (busy) {
            int64_t layer = top_.layer;
            if (layer >= (int64_t)options_.passes)
                broken("port layer must be below %" PRIu64 ", not %" PRId64, options_.passes, layer);
            if (last_layer_ < 0 || layer < last_layer_ || (layer == last_layer_ && !was_busy_))
                pass_image_++;
            if (layer != last_layer_ || !was_busy_) idle_ = 0;
            if (pass_image_ >= (int64_t)images_)
                broken("busy must end with the last image, not begin another one");
            last_layer_ = layer;
            cycles_[pass_image_ * options_.passes + layer]++;
        }
        was_busy_ = busy;
        if (pass_image_ == options_.trace_image && pass_image_ >= 0)
            record_trace(top_, now_, trace_);
    }

    void watch_output() {
        bool valid = top_.m_axis_tvalid, last = top_.m_axis_tlast;
        int64_t data = (int64_t)top_.m_axis_tdata;
        if (was_waiting_ && !valid)
            broken("m_axis_tvalid must stay until m_axis_tready, but fell");
        if (was_waiting_ && (data != waiting_data_ || last != waiting_last_))
            broken("m_axis_tdata and m_axis_tlast must not change while they wait for "
                   "m_axis_tready");
        was_waiting_ = valid && !top_.m_axis_tready;
        waiting_data_ = data;
        waiting_last_ = last;
        if (!valid || was_waiting_) return;
        bool expected = out_index_ + 1 == options_.outputs;
        if (last != expected)
            broken("m_axis_tlast must be %d at output element %" PRIu64 ", not %d", expected,
                   out_index_, last);
        answers_[out_image_ * options_.outputs + out_index_] = data;
        idle_ = 0;
        out_index_++;
        if (expected) {
            times_[out_image_ * 2 + 1] = now_;
            out_index_ = 0;
            out_image_++;
        }
    }

    template <class... Values> [[noreturn]] void broken(const char* format, Values... values) {
        char text[400];
        std::snprintf(text, sizeof text, format, values...);
        stop(3, "%s (image %" PRIu64 ", cycle %" PRId64 ")", text,
             options_.first_image + out_image_, now_);
    }

    [[noreturn]] void give_up() {
        stop(3, "no progress for %" PRIu64 " cycles (image %" PRIu64 ", cycle %" PRId64 "): "
             "input element %" PRIu64 " of image %" PRIu64 " is next, output element %" PRIu64
             " is awaited; s_axis_tvalid=%d s_axis_tready=%d m_axis_tvalid=%d m_axis_tready=%d "
             "busy=%d layer=%d frame_errors=%" PRId64, options_.watchdog,
             options_.first_image + out_image_, now_, in_index_, options_.first_image + in_image_,
             out_index_, (int)top_.s_axis_tvalid, (int)top_.s_axis_tready,
             (int)top_.m_axis_tvalid, (int)top_.m_axis_tready, (int)top_.busy, (int)top_.layer,
             frame_errors_);
    }

    Options options_;
    VerilatedContext context_;
    Top top_{&context_};
    std::vector<uint32_t> data_;
    uint64_t images_;
    Coin offer_, accept_;
    std::vector<int64_t> answers_, cycles_, times_;
    std::vector<TraceWrite> trace_;

    int64_t now_ = 0, frame_errors_ = 0;
    uint64_t in_image_ = 0, in_index_ = 0, out_image_ = 0, out_index_ = 0, idle_ = 0;
    bool offering_ = false;
    int64_t pass_image_ = -1, last_layer_ = -1;
    bool was_busy_ = false;
    bool was_waiting_ = false, waiting_last_ = false;
    int64_t waiting_data_ = 0;
};

}  // namespace

int main(int count, char** values) {
    Options options = parse(count, values);
    auto bench = std::make_unique<Bench>(options);
    bench->run();
    bench->write_result();
    return 0;
}
