!> A small ocean with its own calls of Debian's OASIS3-MCT (2012 interface): rows of a 12 x 10 grid over the ranks.
!! Sends SST (2-D) and TEMP (3 levels, packed), receives DSST = 2 * SST one step earlier, checks it, prints "ocean right".
program ocean
   use mpi, only: mpi_init, mpi_finalize
   use mod_oasis, only: oasis_init_comp, oasis_get_localcomm, oasis_def_partition, oasis_def_var, oasis_enddef, &
      &                 oasis_put, oasis_get, oasis_abort, oasis_terminate, &
      &                 OASIS_Out, OASIS_In, OASIS_Double, OASIS_Recvd
   implicit none
   integer, parameter :: nx = 12, ny = 10, nz = 3, dt = 10, runtime = 40
   integer :: comp, comm, rank, ranks, err, info, j0, nj, k, time, i
   integer :: flat, deep, id_sst, id_temp, id_dsst
   double precision, allocatable :: sst(:), temp(:), dsst(:), expected(:)

   call mpi_init(err)
   call oasis_init_comp(comp, 'oceanx', err)
   call oasis_get_localcomm(comm, err)
   call mpi_comm_rank(comm, rank, err)
   call mpi_comm_size(comm, ranks, err)
   j0 = rank * ny / ranks
   nj = (rank + 1) * ny / ranks - j0
   allocate(sst(nx * nj), temp(nx * nj * nz), dsst(nx * nj), expected(nx * nj))

   call oasis_def_partition(flat, [3, 1, j0 * nx, nx * nj], err, nx * ny)
   call oasis_def_partition(deep, [3, nz, (k * nx * ny + j0 * nx, nx * nj, k = 0, nz - 1)], err, nx * ny * nz)
   call oasis_def_var(id_sst, 'O_SST', flat, [1, 1], OASIS_Out, [1, nx * nj], OASIS_Double, err)
   call oasis_def_var(id_temp, 'O_TEMP', deep, [1, 1], OASIS_Out, [1, nx * nj * nz], OASIS_Double, err)
   call oasis_def_var(id_dsst, 'O_DSST', flat, [1, 1], OASIS_In, [1, nx * nj], OASIS_Double, err)
   call oasis_enddef(err)

   do time = 0, runtime - dt, dt
      do i = 1, nx * nj
         sst(i) = j0 * nx + i - 1 + 1000 * time
         do k = 1, nz
            temp((k - 1) * nx * nj + i) = sst(i) + 1d6 * (k - 1)
         end do
      end do
      call oasis_put(id_sst, time, sst, info)
      call oasis_put(id_temp, time, temp, info)
      call oasis_get(id_dsst, time, dsst, info)
      if (info /= OASIS_Recvd .or. any(dsst /= 2 * sst)) call oasis_abort(comp, 'ocean', 'DSST is wrong')
      if (command_argument_count() > 0 .and. time > 0) call oasis_abort(comp, 'ocean', 'asked to fail')
   end do
   print '(a,i2)', 'ocean right', rank
   call oasis_terminate(err)
   call mpi_finalize(err)
end program ocean
