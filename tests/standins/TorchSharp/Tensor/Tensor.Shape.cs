using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public partial class Tensor
    {
        public Tensor T => Ops.numpy_T.Call(this);
        public Tensor mT => Ops.mT.Call(this);
        public Tensor t() => Ops.t.Call(this);
        public Tensor alias() => Ops.alias.Call(this);
        public Tensor contiguous() => Ops.contiguous.Call(this);
        public Tensor clone() => Ops.clone.Call(this);
        public Tensor view(params long[] shape) => Ops.view.Call(this, shape);
        public Tensor view_as(Tensor other) => view(other.shape);
        public Tensor reshape(params long[] shape) => Ops.reshape.Call(this, shape);
        public Tensor flatten(long start_dim = 0, long end_dim = -1) => Ops.flatten__using_ints.Call(this, start_dim, end_dim);
        public Tensor unflatten(long dim, params long[] sizes) => Ops.unflatten__int.Call(this, dim, sizes, default);
        public Tensor squeeze(long? dim = null) => dim is null ? Ops.squeeze.Call(this) : Ops.squeeze__dim.Call(this, dim.Value);
        public Tensor squeeze_(long? dim = null) => dim is null ? Ops.squeeze_.InPlace(this) : Ops.squeeze___dim.InPlace(this, dim.Value);
        public Tensor unsqueeze(long dim) => Ops.unsqueeze.Call(this, dim);
        public Tensor unsqueeze_(long dim) => Ops.unsqueeze_.InPlace(this, dim);
        public Tensor transpose(long dim0, long dim1) => Ops.transpose__int.Call(this, dim0, dim1);
        public Tensor permute(params long[] permutation) => Ops.permute.Call(this, permutation);
        public Tensor permute(IEnumerable<long> permutation) => permute(permutation.ToArray());
        public Tensor movedim(long[] source, long[] destination) => Ops.movedim__intlist.Call(this, source, destination);
        public Tensor expand(ReadOnlySpan<long> sizes, bool isImplicit = false) => Ops.expand.Call(this, sizes.ToArray(), isImplicit);
        public Tensor expand(Size sizes, bool isImplicit = false) => Ops.expand.Call(this, sizes.Shape, isImplicit);
        public Tensor expand(long[] sizes, bool isImplicit = false) => Ops.expand.Call(this, sizes, isImplicit);
        public Tensor expand(params long[] sizes) => Ops.expand.Call(this, sizes);
        public Tensor expand_as(Tensor other) => expand(other.shape);
        public Tensor broadcast_to(params long[] shape) => Ops.broadcast_to.Call(this, shape);
        public Tensor repeat(params long[] sizes) => Ops.repeat.Call(this, sizes);
        public Tensor tile(long[] reps) => Ops.tile.Call(this, reps);
        public Tensor repeat_interleave(Tensor repeats, long? dim = null, long? output_size = null) => Ops.repeat_interleave__self_Tensor.Call(this, repeats, dim, output_size);
        public Tensor repeat_interleave(long repeats, long? dim = null, long? output_size = null) => Ops.repeat_interleave__self_int.Call(this, repeats, dim, output_size);
        public Tensor tril(long diagonal = 0) => Ops.tril.Call(this, diagonal);
        public Tensor tril_(long diagonal = 0) => Ops.tril_.InPlace(this, diagonal);
        public Tensor triu(long diagonal = 0) => Ops.triu.Call(this, diagonal);
        public Tensor triu_(long diagonal = 0) => Ops.triu_.InPlace(this, diagonal);
        public Tensor diag(long diagonal = 0) => Ops.diag.Call(this, diagonal);
        public Tensor diagonal(long offset = 0L, long dim1 = 0L, long dim2 = 1L) => Ops.diagonal.Call(this, offset, dim1, dim2);
        public Tensor flip(params long[] dims) => Ops.flip.Call(this, dims);
        public Tensor roll(long shifts, long? dims = null) => Ops.roll.Call(this, new[] { shifts }, dims is null ? Array.Empty<long>() : new[] { dims.Value });
        public Tensor roll(long[] shifts, long[] dims) => Ops.roll.Call(this, shifts, dims);
        public Tensor unfold(long dimension, long size, long step) => Ops.unfold.Call(this, dimension, size, step);
        public Tensor as_strided(long[] size, long[] strides, long storageOffset = 0L) => Ops.as_strided.Call(this, size, strides, storageOffset);

        public Tensor narrow(long dim, long start, long length) => Ops.narrow.Call(this, dim, start, length);
        public Tensor slice(long dim, long start, long finish, long step) => Ops.slice__Tensor.Call(this, dim, start, finish, step);
        public Tensor select(long dim, long index) => Ops.select__int.Call(this, dim, index);
        public Tensor[] split(long size, int dim = 0) => Ops.split__Tensor.List(this, size, dim);
        public Tensor[] split(ReadOnlySpan<long> sizes, long dim = 0) => Ops.split_with_sizes.List(this, sizes.ToArray(), dim);
        public Tensor[] split(long[] sizes, long dim = 0) => Ops.split_with_sizes.List(this, sizes, dim);
        public Tensor[] split(params long[] sizes) => Ops.split_with_sizes.List(this, sizes, 0);
        public Tensor[] chunk(long chunks, long dim = 0L) => Ops.chunk.List(this, chunks, dim);
        public Tensor[] unbind(long dimension = 0L) => Ops.unbind__int.List(this, dimension);

        public Tensor gather(long dim, Tensor index) => Ops.gather.Call(this, dim, index);
        public Tensor take_along_dim(Tensor indices, long dim) => Ops.take_along_dim.Call(this, indices, dim);
        public Tensor scatter(long dim, Tensor index, Tensor src) => Ops.scatter__src.Call(this, dim, index, src);
        public Tensor scatter_(long dim, Tensor index, Tensor src) => Ops.scatter___src.InPlace(this, dim, index, src);
        public Tensor scatter_add(long dim, Tensor index, Tensor src) => Ops.scatter_add.Call(this, dim, index, src);
        public Tensor scatter_add_(long dim, Tensor index, Tensor src) => Ops.scatter_add_.InPlace(this, dim, index, src);
        public Tensor index_select(long dim, Tensor index) => Ops.index_select.Call(this, dim, index);
        public Tensor index_add(long dim, Tensor index, Tensor source, Scalar alpha) => Ops.index_add.Call(this, dim, index, source, alpha);
        public Tensor index_add_(long dim, Tensor index, Tensor source, Scalar alpha) => Ops.index_add_.InPlace(this, dim, index, source, alpha);
        public Tensor index_copy(long dim, Tensor index, Tensor source) => Ops.index_copy.Call(this, dim, index, source);
        public Tensor index_copy_(long dim, Tensor index, Tensor source) => Ops.index_copy_.InPlace(this, dim, index, source);
        public Tensor index_fill(long dim, Tensor index, Scalar value) => Ops.index_fill__int_Scalar.Call(this, dim, index, value);
        public Tensor index_fill_(long dim, Tensor index, Scalar value) => Ops.index_fill___int_Scalar.InPlace(this, dim, index, value);
        public Tensor masked_fill(Tensor mask, Scalar value) => Ops.masked_fill__Scalar.Call(this, mask, value);
        public Tensor masked_fill_(Tensor mask, Scalar value) => Ops.masked_fill___Scalar.InPlace(this, mask, value);
        public Tensor masked_select(Tensor mask) => Ops.masked_select.Call(this, mask);
        public Tensor where(Tensor condition, Tensor y) => Ops.where__self.Call(condition, this, y);
        public Tensor nonzero() => Ops.nonzero.Call(this);
        public Tensor bucketize(Tensor boundaries, bool outInt32 = false, bool right = false) => Ops.bucketize__Tensor.Call(this, boundaries, outInt32, right);
        public (Tensor output, Tensor? inverse_indices, Tensor? counts) unique(bool sorted = true, bool return_inverse = false, bool return_counts = false, int? dim = null)
        {
            (Tensor output, Tensor inverse, Tensor counts) = dim is null
                ? Ops._unique2.Triple(this, sorted, return_inverse, return_counts)
                : Ops.unique_dim.Triple(this, (long)dim.Value, sorted, return_inverse, return_counts);
            return (output, return_inverse ? inverse : null, return_counts ? counts : null);
        }
    }
}
