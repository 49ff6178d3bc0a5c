namespace LongCat.ML.Native.Tests;

public sealed class NativeLibraryLocatorTests
{
    [Fact]
    public void The_library_lies_beside_the_application() => Assert.StartsWith(AppContext.BaseDirectory, NativeLibraryLocator.Find(), StringComparison.Ordinal);

    [Fact]
    public void A_missing_library_lists_every_path_tried()
    {
        DllNotFoundException error = Assert.Throws<DllNotFoundException>(() => NativeLibraryLocator.Find(["/first", "/second"], _ => false));
        Assert.Contains("/first/runtimes/linux-x64/native/liblongcat_ops.so", error.Message, StringComparison.Ordinal);
        Assert.Contains("/second/liblongcat_ops.so", error.Message, StringComparison.Ordinal);
    }
}
