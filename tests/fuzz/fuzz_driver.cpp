/// Runs a libFuzzer target where libFuzzer is missing (GCC): replays the corpus, then feeds seeded
/// mutations of it for a bounded time. The sequence of inputs depends on the seed alone, and the
/// input that was running when the process died is written to `crash-input.bin`.
///   fuzz_x [--seconds N] [--seed S] FILE_OR_FOLDER...
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

using Bytes = std::vector<uint8_t>;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
/// A target may bring its own mutator, which builds on LLVMFuzzerMutate as with libFuzzer.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) __attribute__((weak));
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
/// Present when a sanitizer is linked in.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

constexpr size_t kMaxInputBytes = 4096;

std::mt19937_64 random_engine;
const std::vector<Bytes>* splice_sources = nullptr;
const Bytes* running = nullptr;  ///< for the death callbacks

size_t below(size_t bound) { return random_engine() % bound; }

/// Numbers that sit on edges of readers' arithmetic.
constexpr uint64_t kEdges[] = {0,          1,          2,          7,          8,
                               127,        128,        255,        256,        65535,
                               65536,      0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
                               1ull << 56, 1ull << 60, 1ull << 62, 1ull << 63, ~0ull};

void flip_bits(Bytes& bytes) {
  if (bytes.empty()) return;
  for (size_t i = below(4) + 1; i > 0; --i) bytes[below(bytes.size())] ^= 1u << below(8);
}
void set_byte(Bytes& bytes) {
  // Structure matters more than letters in the text formats read here.
  static constexpr char kMarks[] = "{}[]\",:-.0129eE\\ \t\n\xff";
  if (!bytes.empty()) {
    bytes[below(bytes.size())] = static_cast<uint8_t>(kMarks[below(sizeof(kMarks))]);
  }
}
void truncate(Bytes& bytes) { bytes.resize(below(bytes.size() + 1)); }
void erase_part(Bytes& bytes) {
  if (bytes.empty()) return;
  const size_t begin = below(bytes.size());
  const size_t length = 1 + below(std::min<size_t>(bytes.size() - begin, 64));
  const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(begin);
  bytes.erase(first, first + static_cast<std::ptrdiff_t>(length));
}
/// Copies a part of some corpus file (often this one) into this input.
void splice(Bytes& bytes) {
  const Bytes source = below(2) == 0 ? bytes : (*splice_sources)[below(splice_sources->size())];
  if (source.empty()) return;
  const size_t begin = below(source.size());
  const size_t length = 1 + below(source.size() - begin);
  const auto first = source.begin() + static_cast<std::ptrdiff_t>(begin);
  bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size() + 1)), first,
               first + static_cast<std::ptrdiff_t>(length));
}
/// Overwrites 1, 2, 4 or 8 bytes, often the first ones, with an edge or near it.
void edit_length_field(Bytes& bytes) {
  const uint64_t value = kEdges[below(std::size(kEdges))] + below(3) - 1;
  const size_t width = size_t{1} << below(4);
  if (bytes.size() < width) return;
  const size_t at = below(2) == 0 ? 0 : below(bytes.size() - width + 1);
  std::memcpy(bytes.data() + at, &value, width);
}
/// Replaces a run of decimal digits by an edge or by a neighbour of what it was.
void edit_number(Bytes& bytes) {
  const auto is_digit = [](uint8_t c) { return c >= '0' && c <= '9'; };
  std::vector<size_t> starts;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (is_digit(bytes[i]) && (i == 0 || !is_digit(bytes[i - 1]))) starts.push_back(i);
  }
  if (starts.empty()) return;
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(starts[below(starts.size())]);
  const auto end = std::find_if_not(begin, bytes.end(), is_digit);
  const uint64_t old = std::strtoull(std::string(begin, end).c_str(), nullptr, 10);
  const uint64_t value = below(2) == 0 ? old + below(9) - 4 : kEdges[below(std::size(kEdges))];
  const std::string digits = std::to_string(value);
  const auto at = bytes.erase(begin, end);
  bytes.insert(at, digits.begin(), digits.end());
}

void write_crash_input() {
  if (running == nullptr) return;
  const int file = ::open("crash-input.bin", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0 || ::write(file, running->data(), running->size()) < 0) return;
  ::close(file);
  static constexpr char kNote[] =
      "fuzz_driver: the input is in crash-input.bin; pass that file "
      "as the only argument with --seconds 0 to run it again\n";
  (void)!::write(STDERR_FILENO, kNote, sizeof(kNote) - 1);
}
void on_signal(int number) {
  write_crash_input();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

void install_crash_handlers() {
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(write_crash_input);
    std::signal(SIGABRT, on_signal);
    return;
  }
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    std::signal(number, on_signal);
  }
}

void run(const Bytes& bytes) {
  // An exact copy on the heap, so that a sanitizer sees a read one past the end.
  const Bytes exact(bytes.begin(), bytes.end());
  running = &exact;
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  running = nullptr;
}

/// One more input: a corpus file with one to six mutations.
Bytes next_input(const std::vector<Bytes>& corpus) {
  Bytes bytes = corpus[below(corpus.size())];
  size_t size = bytes.size();
  bytes.resize(std::max(size, kMaxInputBytes));
  for (size_t i = 1 + below(6); i > 0; --i) {
    size = LLVMFuzzerCustomMutator != nullptr
               ? LLVMFuzzerCustomMutator(bytes.data(), size, bytes.size(),
                                         static_cast<unsigned>(random_engine()))
               : LLVMFuzzerMutate(bytes.data(), size, bytes.size());
  }
  bytes.resize(size);
  return bytes;
}

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "fuzz_driver: cannot read %s\n", path.c_str());
    std::exit(2);
  }
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

struct Arguments {
  double seconds = 5;
  uint64_t seed = 1;
  std::vector<std::filesystem::path> files;  ///< sorted, so that runs repeat
};
Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--seconds" && i + 1 < argc) {
      arguments.seconds = std::atof(argv[++i]);
    } else if (word == "--seed" && i + 1 < argc) {
      arguments.seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::filesystem::is_directory(word)) {
      for (const auto& entry : std::filesystem::directory_iterator(word)) {
        if (entry.is_regular_file()) arguments.files.push_back(entry.path());
      }
    } else {
      arguments.files.emplace_back(word);
    }
  }
  std::sort(arguments.files.begin(), arguments.files.end());
  return arguments;
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size) {
  using Mutation = void (*)(Bytes&);
  static constexpr Mutation kMutations[] = {flip_bits,   set_byte,    truncate,
                                            erase_part,  splice,      edit_length_field,
                                            edit_number, edit_number, set_byte};
  Bytes bytes(data, data + size);
  kMutations[below(std::size(kMutations))](bytes);
  bytes.resize(std::min(bytes.size(), max_size));
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  if (arguments.files.empty()) {
    std::fprintf(stderr, "usage: %s [--seconds N] [--seed S] FILE_OR_FOLDER...\n", argv[0]);
    return 2;
  }
  install_crash_handlers();
  std::vector<Bytes> corpus;
  for (const auto& file : arguments.files) corpus.push_back(read_file(file));
  for (const Bytes& bytes : corpus) run(bytes);

  splice_sources = &corpus;
  random_engine.seed(arguments.seed);
  const auto start = std::chrono::steady_clock::now();
  const std::chrono::duration<double> limit(arguments.seconds);
  uint64_t inputs = 0;
  while (std::chrono::steady_clock::now() - start < limit) {
    run(next_input(corpus));
    ++inputs;
  }
  std::printf("replayed %zu files, then %llu mutations with seed %llu: no fault\n", corpus.size(),
              static_cast<unsigned long long>(inputs),
              static_cast<unsigned long long>(arguments.seed));
  return 0;
}
