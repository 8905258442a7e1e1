// Runs dlib's frontal face detector and keeps what the crate `dlib-face-recognition` hides: the score of each detection,
// and the reason when dlib throws. The detector itself is made, cloned and dropped by that crate; see dlib.rs.
#include <cstdint>
#include <cstring>
#include <exception>

#include <dlib/image_processing/object_detector.h>
#include <dlib/image_processing/scan_fhog_pyramid.h>
#include <dlib/image_transforms.h>

// The same type as dlib::frontal_face_detector, without the header that carries the trained weights.
using Detector = dlib::object_detector<dlib::scan_fhog_pyramid<dlib::pyramid_down<6>>>;
using Image = dlib::array2d<dlib::rgb_pixel>;

static Image copy_pixels(const std::uint8_t* rgb, std::size_t width, std::size_t height) {
    Image image(static_cast<long>(height), static_cast<long>(width));
    for (long y = 0; y < image.nr(); ++y)
        for (long x = 0; x < image.nc(); ++x, rgb += 3) image[y][x] = dlib::rgb_pixel(rgb[0], rgb[1], rgb[2]);
    return image;
}

static void copy_message(const char* text, char* message, std::size_t capacity) {
    if (capacity == 0) return;
    std::strncpy(message, text, capacity - 1);
    message[capacity - 1] = '\0';
}

extern "C" {

struct ToonifyDetection {
    std::int64_t left, top, right, bottom;
    double score;
};

std::size_t toonify_detector_size() { return sizeof(Detector); }
std::size_t toonify_detector_align() { return alignof(Detector); }

// Writes at most `capacity` detections, best first, and returns how many; -1 with a message when dlib throws.
std::int64_t toonify_detect(void* detector, const std::uint8_t* rgb, std::size_t width, std::size_t height,
                            unsigned upsamplings, double min_score, ToonifyDetection* found, std::size_t capacity,
                            char* message, std::size_t message_capacity) {
    try {
        const dlib::pyramid_down<2> pyramid;
        Image image = copy_pixels(rgb, width, height);
        for (unsigned i = 0; i < upsamplings; ++i) dlib::pyramid_up(image, pyramid);
        std::vector<dlib::rect_detection> detections;
        (*static_cast<Detector*>(detector))(image, detections, min_score);
        const std::size_t count = std::min(detections.size(), capacity);
        for (std::size_t i = 0; i < count; ++i) {
            const dlib::rectangle box = pyramid.rect_down(detections[i].rect, upsamplings);
            found[i] = {box.left(), box.top(), box.right(), box.bottom(), detections[i].detection_confidence};
        }
        return static_cast<std::int64_t>(count);
    } catch (const std::exception& error) {
        copy_message(error.what(), message, message_capacity);
    } catch (...) {
        copy_message("an exception of unknown type", message, message_capacity);
    }
    return -1;
}
}
