using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace TorchSharp;

public static class ModuleExtensionMethods
{
    public static T to<T>(this T module, ScalarType type, bool non_blocking = false)
        where T : Module
    {
        if (!is_floating_point(type))
        {
            throw new ArgumentException($"nn.Module.to only accepts floating point or complex types, but got desired dtype={type}");
        }

        module.Convert(type);
        return module;
    }

    public static T to<T>(this T module, Device device, bool non_blocking = false)
        where T : Module
    {
        RequireCpu(device);
        return module;
    }

    public static T to<T>(this T module, Device device, ScalarType type, bool non_blocking = false)
        where T : Module
    {
        RequireCpu(device);
        return module.to(type);
    }

    public static T cpu<T>(this T module, bool non_blocking = false)
        where T : Module => module;

    public static T bfloat16<T>(this T module, bool non_blocking = false)
        where T : Module => module.to(ScalarType.BFloat16);

    public static T @float<T>(this T module, bool non_blocking = false)
        where T : Module => module.to(ScalarType.Float32);

    public static T @double<T>(this T module, bool non_blocking = false)
        where T : Module => module.to(ScalarType.Float64);
}
