using System.Globalization;
using TorchSharp;

namespace LongCat.ML.Training.FineTuning;

/// <summary>Which device trains.</summary>
internal static class TrainingDevice
{
    /// <summary>Checks a device's name, and that the device is there.</summary>
    /// <exception cref="FineTuningException">The name is none, or libtorch has no such device.</exception>
    public static void Check(string device)
    {
        if (device == "cpu")
        {
            return;
        }

        string[] parts = (device ?? "").Split(':');
        bool named = parts[0] == "cuda" && parts.Length <= 2 && (parts.Length == 1 || int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out _));
        if (!named)
        {
            throw new FineTuningException($"the device is '{device}', expected cpu, cuda or cuda:n");
        }

        if (!torch.cuda_is_available())
        {
            throw new FineTuningException($"the device is {device}, and this libtorch has no CUDA device: use cpu, or a TorchSharp package with CUDA on a machine with such a GPU");
        }
    }
}
