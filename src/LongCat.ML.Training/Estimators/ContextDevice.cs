using LongCat.ML.Training.FineTuning;
using Microsoft.ML;
using Microsoft.ML.Runtime;

namespace LongCat.ML.Training.Estimators;

/// <summary>Which device an estimator trains on.</summary>
internal static class ContextDevice
{
    /// <param name="context">Its <c>GpuDeviceId</c> and <c>FallbackToCpu</c> decide where the options say <c>cpu</c>.</param>
    /// <param name="channel">Told of a fall-back.</param>
    /// <param name="device">What the options say.</param>
    /// <exception cref="FineTuningException">The context wants a GPU that is not there, and no fall-back.</exception>
    public static string Of(MLContext context, IChannel channel, string device)
    {
        if (device == "cpu" && context.GpuDeviceId is { } gpu)
        {
            try
            {
                TrainingDevice.Check($"cuda:{gpu}");
                return $"cuda:{gpu}";
            }
            catch (FineTuningException error) when (context.FallbackToCpu)
            {
                channel.Warning(MessageSensitivity.None, $"Training runs on the CPU: {error.Message}");
            }
        }

        return device;
    }
}
