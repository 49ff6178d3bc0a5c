using Microsoft.ML.Data;

namespace LongCat.ML.Steps;

/// <summary>Writes arrays into the caller's vectors, reusing their buffers.</summary>
internal static class VectorWriter
{
    public static void Write<T>(T[] values, ref VBuffer<T> target)
    {
        VBufferEditor<T> editor = VBufferEditor.Create(ref target, values.Length);
        values.CopyTo(editor.Values);
        target = editor.Commit();
    }
}
